"""What a plugin knows of the code of its library, as steps that each find one function, or refuse.

class _Model:
    def __init__(self, image: ElfImage) -> None: ...   # what all steps need
    def read(self) -> int: ...                         # an address, or NotLocatedError

SIGNATURE = Signature(_Model, {"SSL_read": _Model.read})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from tlstap.errors import ElfError, NotLocatedError
from tlstap.location import Located

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

M = TypeVar("M")
_Answer = Located | str
"""Where a function is, or why that is not known."""


class Signature(Generic[M]):
    """Works out all steps once for an image.

    :param model: made of an image; NotLocatedError and ElfError mean that no step can be taken.
    :param steps: for each function, what finds its address (or a Located with more than that) in the model.
    """

    def __init__(
        self, model: Callable[[ElfImage], M], steps: Mapping[str, Callable[[M], int | Located]]
    ) -> None:
        self._model = model
        self._steps = steps
        self._answers: WeakKeyDictionary[ElfImage, Mapping[str, _Answer]] = WeakKeyDictionary()

    def locate(self, image: ElfImage, function: str) -> Located:
        """A function, by its signature alone.

        :raises NotLocatedError: it is not found without doubt; the message says at which step.
        """
        if image not in self._answers:
            self._answers[image] = self._work_out(image)
        answer = self._answers[image].get(function, "no signature is known for it")
        if isinstance(answer, str):
            raise NotLocatedError(answer)
        return answer

    def _work_out(self, image: ElfImage) -> dict[str, _Answer]:
        try:
            model = self._model(image)
        except (NotLocatedError, ElfError) as error:
            return dict.fromkeys(self._steps, str(error))
        return {function: self._take(model, step) for function, step in self._steps.items()}

    @staticmethod
    def _take(model: M, step: Callable[[M], int | Located]) -> _Answer:
        try:
            found = step(model)
        except (NotLocatedError, ElfError) as error:
            return str(error)
        return found if isinstance(found, Located) else Located(found, by_signature=True)
