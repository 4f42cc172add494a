"""Addresses that the user gives by hand, where tlstap does not find the functions itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tlstap.errors import UsageError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.library import Library

OPTION = "--at FILE:FUNCTION=ADDRESS"
_FORM = re.compile(r"(?P<file>.+):(?P<function>[A-Za-z_][A-Za-z0-9_]*)=(?P<address>0[xX][0-9a-fA-F]+|[0-9]+)")


@dataclass(frozen=True, slots=True)
class GivenAddress:
    """A function's ELF virtual address in a file."""

    file: str
    function: str
    address: int

    @classmethod
    def parse(cls, text: str) -> GivenAddress:
        """From FILE:FUNCTION=ADDRESS.

        :raises UsageError: it is something else.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is not of the form FILE:FUNCTION=ADDRESS, as in ./server:SSL_read=0x4a10"
            )
        number = match["address"]
        return cls(match["file"], match["function"], int(number, 16 if number[1:2] in ("x", "X") else 10))


class GivenAddresses:
    """All of them, by the file that each is about.

    :param libraries: names of the libraries that the user has chosen; empty: any.
    :raises UsageError: a file does not exist, or a function is given two addresses.
    """

    def __init__(self, given: Collection[GivenAddress] = (), libraries: Collection[str] = ()) -> None:
        self.files: list[str] = list(dict.fromkeys(one.file for one in given))
        self._libraries = libraries
        self._by_file: dict[tuple[int, int], dict[str, int]] = {}
        for one in given:
            try:
                status = Path(one.file).stat()
            except OSError as error:
                raise UsageError(f"{one.file}: {error.strerror}; an address was given for it") from None
            functions = self._by_file.setdefault((status.st_dev, status.st_ino), {})
            if functions.setdefault(one.function, one.address) != one.address:
                raise UsageError(f"{one.file}: two addresses are given for {one.function}")

    def of(self, device: int, inode: int) -> Mapping[str, int]:
        """The functions and addresses that are given for a file."""
        return self._by_file.get((device, inode), {})

    def meant(
        self, image: ElfImage, recognised: Collection[Library], libraries: Collection[Library]
    ) -> list[Library]:
        """The libraries of an image for which there are addresses: those that were recognised, or the only
        one that the user can mean.

        :raises UsageError: that can't be told, or an address is given for a function of none of them.
        """
        functions = self.of(image.identity.device, image.identity.inode)
        found = list(recognised)
        if not found:
            found = [
                library
                for library in libraries
                if (not self._libraries or library.name in self._libraries)
                and functions.keys() <= _names(library)
            ]
            if len(found) > 1:
                names = ", ".join(library.name for library in found)
                raise UsageError(
                    f"{image.path}: no TLS library was recognised in it; choose with --lib ({names})"
                )
        known = set[str]().union(*map(_names, found))
        for function, address in functions.items():
            if function not in known:
                raise UsageError(
                    f"{image.path}: no probe is declared for {function}; known are {_some(known)}"
                )
            _check(image, function, address)
        return found


def _names(library: Library) -> set[str]:
    return {name for probe in library.probes for name in (probe.function, *probe.fallbacks)}


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _check(image: ElfImage, function: str, address: int) -> None:
    """A breakpoint inside an instruction would corrupt the traced program."""
    from tlstap.discovery.unwind import function_bounds

    if not image.is_code(address):
        raise UsageError(f"{image.path}: {function}={address:#x} is not in an executable segment")
    bounds = function_bounds(image, address)
    if bounds is not None and bounds.start != address:
        raise UsageError(
            f"{image.path}: {function}={address:#x} is inside a function, which begins at {bounds.start:#x}"
        )
