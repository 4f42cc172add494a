"""Where OpenSSL's functions report errors: each place says the name, or the number, of the function it is in.

From 3.0 on ERR_raise calls ERR_set_debug(__FILE__, __LINE__, __func__). Before, SSLerr called
ERR_put_error(20, number of the function, reason, __FILE__, __LINE__). So what a place says is what the source
calls the function, also where the compiler has copied the place into another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tlstap.discovery.call_arguments import Call, Code, read_code
from tlstap.discovery.code_scan import code_references
from tlstap.discovery.functions import Functions
from tlstap.discovery.strings import find_strings
from tlstap.discovery.unwind import function_bounds
from tlstap.errors import ElfError, NotLocatedError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.unwind import Bounds

ERR_LIB_SSL = 20
MIN_SITES = 8
"""Fewer places are not the library: the smallest that a linker left of it has more than fifty."""
MAX_REFERENCES = 4000
_LONGEST_NAME = 64

# SSL_F_... of include/openssl/sslerr.h (ssl.h up to 1.1.0). A number was never given to another function.
FUNCTIONS = {
    164: "SSL_clear",
    180: "SSL_do_handshake",
    186: "SSL_new",
    208: "SSL_write",
    213: "ssl3_ctrl",
    223: "SSL_read",
    523: "ssl_read_internal",
    524: "ssl_write_internal",
    526: "SSL_write_early_data",
    529: "SSL_read_early_data",
}


class ErrorSite(NamedTuple):
    """A place in a function (`holder`, its entry's address) that reports an error of the function `name`."""

    name: str
    line: int
    holder: int


class ErrorSites:
    """The places in some source files, and the code of the functions that hold them, by their entry.

    :param sources: the files' names. One without any place is no error, if others have some.
    :raises NotLocatedError: too little is reported, or the library is there twice.
    """

    def __init__(self, image: ElfImage, sources: Sequence[str]) -> None:
        self._image = image
        self._paths = {source: _paths(image, source) for source in sources}
        spans = [span for paths in self._paths.values() for span in paths]
        if not spans:
            raise NotLocatedError(f"{_names(sources)}, by whose name its functions are known, is not there")
        references = [
            one.address for one in code_references(image, spans, image.progress) if one.kind == "address"
        ]
        if len(references) > MAX_REFERENCES:
            raise NotLocatedError(f"{len(references)} places refer to the name of {_names(sources)}")
        self.functions = Functions(image, references, image.progress)
        owners = {self.functions.owner(address) for address in references}
        known = sorted(owner for owner in owners if owner is not None)
        self.exact = {owner.start for owner in known if _is_covered(image, owner)}
        """The functions whose bounds are not concluded from calls, but known."""
        if None in owners and not self.exact:
            raise NotLocatedError(f"which functions have errors of {_names(sources)} can't be told")
        self.code: Mapping[int, Code] = {
            owner.start: read_code(image, self.functions, owner) for owner in known
        }
        self._sure = {owner.start: self._surely_in(owner) for owner in known}
        reports = [
            report
            for code in self.code.values()
            for call in code.calls
            if (report := self._report(code, call))
        ]
        # All are calls of one function, or of a linkage stub that leads to it.
        reporter = _shared([one.reporter for one in reports])
        self.sites: set[ErrorSite] = set()
        self._unsure: set[str] = set()
        count = 0
        for source in sources:
            found = [one for one in reports if one.reporter == reporter and one.source == source]
            path = _shared([one.path for one in found])
            found = [one for one in found if one.path == path]
            count += len({one.site for one in found})
            self.sites.update(one.site for one in found if one.sure)
            self._unsure.update(one.site.name for one in found if not one.sure)
        if count < MIN_SITES:
            raise NotLocatedError(f"only {count} places report errors of {_names(sources)}")

    def holders(self, name: str) -> set[int]:
        """The functions that report errors of the function `name`.

        :raises NotLocatedError: where one of them begins can't be told without doubt.
        """
        if name in self._unsure:
            raise NotLocatedError("where the function that reports its errors begins can't be told")
        return {site.holder for site in self.sites if site.name == name}

    def _surely_in(self, owner: Bounds) -> set[int]:
        """The instructions that surely belong to a function.

        Where unwind information has its bounds, all. Else it must be called, and what no way leads to from
        its beginning may be another one's.
        """
        code = self.code[owner.start]
        if owner.start in self.exact:
            return set(code.instructions)
        return _reached(code) if self.functions.is_entered(owner) else set()

    def _report(self, code: Code, call: Call) -> _Report | None:
        match call.arguments:
            case [int(path), int(line), int(text), *_] if source := self._source(path):
                name = self._text(text)
            case [20, int(number), int(), int(path), int(line), *_] if source := self._source(path):
                name = FUNCTIONS.get(number, f"function {number}")
            case _:
                return None
        if not name:
            return None
        sure = call.address in self._sure[code.entry]
        return _Report(call.target, source, path, ErrorSite(name, line, code.entry), sure)

    def _source(self, path: int) -> str | None:
        return next(
            (name for name, spans in self._paths.items() if any(path in span for span in spans)), None
        )

    def _text(self, address: int) -> str | None:
        """The name at an address, if there is one."""
        try:
            text, terminator, _ = self._image.read(address, _LONGEST_NAME).partition(b"\0")
        except ElfError:
            return None
        name = text.decode("latin-1")
        return name if terminator and name.isidentifier() else None


class _Report(NamedTuple):
    """A call of the function at `reporter`, with a path of a source file."""

    reporter: int
    source: str
    path: int
    site: ErrorSite
    sure: bool
    """The place is surely in that function."""


def _is_covered(image: ElfImage, owner: Bounds) -> bool:
    try:
        return function_bounds(image, owner.start) == owner
    except ElfError:
        return False


def _reached(code: Code) -> set[int]:
    """The instructions to which branches lead from the entry."""
    reached: set[int] = set()
    work = [code.entry]
    while work:
        address = work.pop()
        one = code.instructions.get(address)
        if one is None or address in reached:
            continue
        reached.add(address)
        if one.flow in ("branch", "jump") and one.target is not None:
            work.append(one.target)
        if one.flow in ("next", "branch", "call"):
            work.append(one.next)
    return reached


def _paths(image: ElfImage, source: str) -> list[range]:
    """Where paths of a source file may begin: what is printable before one is not always a part of it."""
    ending = source.encode() + b"\0"
    return [range(text.start, text.stop - len(ending) + 1) for text in find_strings(image, ending)]


def _shared(values: Collection[int]) -> int | None:
    """What all have in common, but for a few that are none."""
    counts = Counter(values).most_common(2)
    if len(counts) > 1 and counts[1][1] >= MIN_SITES:
        raise NotLocatedError("the library is there twice")
    return counts[0][0] if counts else None


def _names(sources: Sequence[str]) -> str:
    return " or ".join(sources)
