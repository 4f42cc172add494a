"""A signature's steps are worked out once for an image, and each answers for itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.discovery.elves import elf_image

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.signature import Signature
from tlstap.errors import ElfError, NotLocatedError, TlstapError
from tlstap.location import Located


class Model:
    """Counts how often it is made."""

    made = 0

    def __init__(self, image: ElfImage) -> None:
        type(self).made += 1

    def read(self) -> int:
        return 0x1000

    def peek(self) -> Located:
        return Located(0x2000, by_signature=True, return_addresses=(0x3000,))

    def write(self) -> int:
        raise NotLocatedError("2 functions write, not 1")

    def broken(self) -> int:
        raise ElfError("image: damaged")


STEPS: dict[str, Callable[[Model], int | Located]] = {
    "SSL_read": Model.read,
    "SSL_peek": Model.peek,
    "SSL_write": Model.write,
    "SSL_new": Model.broken,
}


def test_each_step_answers_for_itself() -> None:
    signature = Signature(Model, STEPS)
    Model.made = 0
    with elf_image(b"\xc3") as image:
        for _ in range(2):
            assert signature.locate(image, "SSL_read") == Located(0x1000, by_signature=True)
            assert signature.locate(image, "SSL_peek").return_addresses == (0x3000,)
            for name, words in (
                ("SSL_write", "2 functions write, not 1"),
                ("SSL_new", "image: damaged"),
                ("SSL_other", "no signature is known for it"),
            ):
                with pytest.raises(NotLocatedError, match=words):
                    signature.locate(image, name)
    assert Model.made == 1
    with elf_image(b"\xc3") as another:
        signature.locate(another, "SSL_read")
    assert Model.made == 2


@pytest.mark.parametrize("error", [NotLocatedError("its file's name is not there"), ElfError("damaged")])
def test_without_the_model_no_step_is_taken(error: TlstapError) -> None:
    def make(image: ElfImage) -> Model:
        raise error

    signature = Signature(make, STEPS)
    with elf_image(b"\xc3") as image, pytest.raises(NotLocatedError, match=str(error)):
        signature.locate(image, "SSL_read")
