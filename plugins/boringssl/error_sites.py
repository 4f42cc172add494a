"""Where the functions of ssl_lib.cc report errors: what BoringSSL cannot be built without.

OPENSSL_PUT_ERROR(SSL, reason) is a call of ERR_put_error(16, 0, reason, __FILE__, __LINE__): the number of
the library, nothing, the reason, the source file, the line. So each place that reports an error names a line
and a reason. Lines rise in the order of the source, whatever the version; inlining copies a place into other
functions but never changes that order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tlstap.discovery.call_arguments import Code, read_code
from tlstap.discovery.code_scan import code_references
from tlstap.discovery.constants import OWN_ARGUMENTS
from tlstap.discovery.functions import Functions
from tlstap.discovery.strings import find_strings
from tlstap.errors import NotLocatedError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.unwind import Bounds

SOURCE = b"ssl_lib.cc\0"
ERR_LIB_SSL = 16
MAX_REASON = 0xFFF
"""An error is one number, which has twelve bits for its reason."""
MAX_LINE = 0xFFFF
MIN_SITES = 8
"""Fewer places are not the library: each version has more than twenty."""
MAX_REFERENCES = 2000
"""A library has up to about eighty."""


Arguments = tuple[int | None, ...]


class ErrorSite(NamedTuple):
    """A place in a function (its entry's address) that reports an error; `first`: before the function has
    called anything, so that it is reached from the entry, and its sixth argument is still there."""

    line: int
    reason: int
    function: int
    first: bool


class ErrorSites:
    """The places, the functions that they are in, and those functions' code by their entry.

    :raises NotLocatedError: the file's name is not in the image, or too little refers to it.
    """

    def __init__(self, image: ElfImage) -> None:
        source, references = _references(image)
        self.functions = Functions(image, references, image.progress)
        self.code: Mapping[int, Code] = {
            owner.start: read_code(image, self.functions, owner) for owner in self._owners(references)
        }
        found = [
            (target, ErrorSite(*place, code.entry, arguments[5] == OWN_ARGUMENTS[5]))
            for code in self.code.values()
            for target, arguments in _calls(code)
            if (place := _place(arguments, source))
        ]
        if not found:
            raise NotLocatedError(f"no error is reported with the name of {_shown(SOURCE)}")
        # All are calls of one function, of a linkage stub that leads to it, or through a pointer to it.
        reporter, _ = Counter(target for target, _ in found).most_common(1)[0]
        self.sites = sorted({site for target, site in found if target == reporter})
        count = len({site[:3] for site in self.sites})
        if count < MIN_SITES:
            raise NotLocatedError(f"only {count} places report errors of {_shown(SOURCE)}")

    def _owners(self, references: list[int]) -> list[Bounds]:
        owners = {self.functions.owner(reference) for reference in references}
        return sorted(owner for owner in owners if owner is not None)

    def lines(self, reason: int) -> list[int]:
        """The lines that report a reason, in their order."""
        return sorted({site.line for site in self.sites if site.reason == reason})

    def lines_in(self, function: int) -> frozenset[int]:
        """The lines that report an error in a function, whatever the reason."""
        return frozenset(site.line for site in self.sites if site.function == function)

    def checks_first(self, function: int, reason: int) -> bool:
        """Whether a function may report this before it does anything else."""
        return any(site.first for site in self.sites if (site.reason, site.function) == (reason, function))

    def holders(self, line: int) -> set[int]:
        """The functions in which a line reports an error."""
        return {site.function for site in self.sites if site.line == line}


def _references(image: ElfImage) -> tuple[int, list[int]]:
    """The address of the source file's name, and where the code refers to it."""
    names = find_strings(image, SOURCE)
    if not names:
        raise NotLocatedError(f"the name of {_shown(SOURCE)}, by which its functions are known, is not there")
    references = [one for one in code_references(image, names, image.progress) if one.kind == "address"]
    if not references:
        raise NotLocatedError(f"no code refers to the name of {_shown(SOURCE)}")
    counts = Counter(one.target for one in references).most_common(2)
    source, count = counts[0]
    if count > MAX_REFERENCES:
        raise NotLocatedError(f"{count} places refer to the name of {_shown(SOURCE)}")
    if len(counts) > 1 and counts[1][1] >= MIN_SITES:
        raise NotLocatedError("the library is there twice")
    return source, [one.address for one in references if one.target == source]


def _calls(code: Code) -> Iterator[tuple[int | None, Arguments]]:
    """(target, unless it is computed; arguments) of what a function calls."""
    yield from ((call.target, call.arguments) for call in code.calls)
    yield from ((None, arguments) for arguments in code.through_pointers)


def _place(arguments: Arguments, source: int) -> tuple[int, int] | None:
    """(line, reason) of a call that reports an error. Link-time optimisation drops arguments that are the
    same in all calls: the one that means nothing, the library where there is no other."""
    if source not in arguments[1:-1]:
        return None
    file = arguments.index(source, 1)
    reason, line = arguments[file - 1], arguments[file + 1]
    if arguments[: file - 1] not in ((ERR_LIB_SSL, 0), (ERR_LIB_SSL,), ()) or reason is None or line is None:
        return None
    return (line, reason) if 0 < reason <= MAX_REASON and 0 < line <= MAX_LINE else None


def _shown(name: bytes) -> str:
    return name.rstrip(b"\0").decode()
