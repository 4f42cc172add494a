"""The functions that report errors, and those that call them: what they pass to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlstap.discovery.call_arguments import Code, read_code
from tlstap.discovery.constants import OWN_ARGUMENTS
from tlstap.discovery.functions import Functions
from tlstap.errors import NotLocatedError
from tlstap.location import Located
from tlstap.plugins.boringssl.error_sites import ErrorSites

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

_FIRST = OWN_ARGUMENTS[0]


class Reporters:
    """Functions are meant by their entries' addresses. `sites`: where they report errors.

    :raises NotLocatedError: there are none.
    """

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self.sites = ErrorSites(image)
        self._around = [self.sites.functions]
        self._codes: dict[int, Code] = dict(self.sites.code)

    def found(self, function: int) -> Located:
        """:raises NotLocatedError: nothing shows that a function begins there."""
        if not any(functions.is_start(function) for functions in self._around):
            raise NotLocatedError(f"nothing shows that a function begins at {function:#x}, as it would")
        return Located(function, by_signature=True)

    def only(self, functions: set[int], what: str) -> int:
        if len(functions) != 1:
            raise NotLocatedError(f"{len(functions)} functions {what} ({shown(functions)}), not 1")
        return next(iter(functions))

    def innermost(self, functions: set[int], what: str) -> int:
        """The one that was inlined into the others."""
        innermost = {one for one in functions if self.is_inside(one, functions - {one})}
        return self.only(innermost or functions, what)

    def is_inside(self, function: int, others: set[int]) -> bool:
        """Whether other functions report all that it does, and more."""
        lines = self.sites.lines_in(function)
        return all(lines < self.sites.lines_in(other) for other in others)

    def callers(self, function: int) -> set[int]:
        """The functions that call one."""
        calls = self.sites.functions.callers(function)
        around = Functions(self._image, calls, self._image.progress) if calls else self.sites.functions
        self._around.append(around)
        callers = set()
        for call in calls:
            owner = around.owner(call)
            if owner is None:
                raise NotLocatedError(f"which function calls {function:#x} at {call:#x} can't be told")
            callers.add(owner.start)
            if owner.start not in self._codes:
                self._codes[owner.start] = read_code(self._image, around, owner)
        return callers

    def passes(self, caller: int, callee: int, count: int) -> bool:
        """Whether a function calls another, from wherever it does so, with its own first arguments."""
        code = self.code(caller)
        own = {
            call.address
            for call in code.calls
            if call.target == callee and call.arguments[:count] == OWN_ARGUMENTS[:count]
        }
        return bool(own) and own.issuperset(code.calls_of(callee))

    def may_pass(self, caller: int, callee: int) -> bool:
        """Whether a function calls another with its own first argument, as far as that can be told: a
        compiler that knows what a callee leaves alone does not load it again."""
        return any(
            call.target == callee and call.arguments[0] in (_FIRST, None) for call in self.code(caller).calls
        )

    def hands_on(self, function: int, argument: int) -> bool:
        """Whether it calls any function with one of its own arguments as the first."""
        return any(passed[0] == argument for passed in self.passed(function))

    def passed(self, function: int) -> list[tuple[int | None, ...]]:
        """What it passes to whatever it calls."""
        code = self.code(function)
        return [*code.through_pointers, *(call.arguments for call in code.calls)]

    def code(self, function: int) -> Code:
        """The code of a function that reports errors, or calls one that does."""
        return self._codes[function]


def shown(functions: set[int]) -> str:
    """Addresses, for a message."""
    return ", ".join(f"{one:#x}" for one in sorted(functions)[:4]) or "none"
