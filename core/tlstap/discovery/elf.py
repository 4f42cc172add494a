"""Reads ELF images: 64-bit little-endian executables and shared libraries.

The files belong to others, who may be hostile and may change them at any time. So everything is read
with pread (a mapped file that somebody truncates would kill us with SIGBUS), every offset and size is
checked against the file, every table is bounded, and what is wrong is an ElfError that names the file.
pyelftools parses the headers (`headers`), `symbols` searches the symbol tables.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Self

from elftools.elf.constants import SH_FLAGS

from tlstap.discovery.elf_parts import MAX_LOOKED_THROUGH, Section, Segment
from tlstap.discovery.files import FileIdentity, open_regular
from tlstap.discovery.symbols import Symbol, SymbolLookup, exported_functions, find_symbols
from tlstap.errors import ElfError

_MAX_READ = 256 << 20
_CHUNK = 1 << 20


class ElfImage:
    """An ELF file, read through a file descriptor; the path is for messages only.

    Addresses are ELF virtual addresses (before relocation). Every method raises ElfError, a TlstapError, if
    the file is malformed. `machine` is "x86_64" or "aarch64".
    """

    def __init__(self, fd: int, path: str, *, owns_fd: bool, debug_file: bool = False) -> None:
        self.fd = fd
        self.path = path
        self.progress: Callable[[int], None] = lambda size: None
        """Told of bytes of code that were looked through, by those that look through all of it."""
        self._owns_fd = owns_fd
        try:
            status = os.fstat(fd)
            self.identity = FileIdentity.of(status)
            self.size = status.st_size
            self._read_headers(debug_file)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, path: str, display_path: str | None = None) -> ElfImage:
        """Open a file by its path. Anything but a regular file is refused."""
        shown = path if display_path is None else display_path
        try:
            fd = open_regular(path)
        except (OSError, ValueError) as error:
            raise ElfError(f"{shown}: can't be opened: {getattr(error, 'strerror', error)}") from None
        return cls(fd, shown, owns_fd=True)

    @classmethod
    def from_fd(cls, fd: int, path: str, *, debug_file: bool = False) -> ElfImage:
        """Read through a descriptor of a regular file, which stays the caller's."""
        return cls(fd, path, owns_fd=False, debug_file=debug_file)

    @classmethod
    def adopt(cls, fd: int, path: str) -> ElfImage:
        """Read through a descriptor of a regular file, and close it in the end (or if this fails)."""
        return cls(fd, path, owns_fd=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if `open` opened it."""
        if self._owns_fd:
            self._owns_fd = False
            os.close(self.fd)

    # Headers

    def _read_headers(self, debug_file: bool) -> None:
        # pyelftools takes 15 ms to import, which a start with a warm cache does not need.
        from tlstap.discovery.headers import Headers

        self._headers = Headers(self)
        self.machine = self._headers.machine
        self.type = self._headers.type
        self.entry = self._headers.entry
        self.segments = self._headers.segments
        if not debug_file:  # a debug file keeps the headers of what was taken out of it
            for segment in self.segments:
                if segment.type == "PT_LOAD":
                    self._check_range(segment.offset, segment.file_size, "a loaded segment")

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers; empty if the file has none."""
        return self._headers.sections()

    def section(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((section for section in self.sections if section.name == name), None)

    def executable_segments(self) -> tuple[Segment, ...]:
        """The loaded segments that hold code."""
        return self._executable_segments

    @cached_property
    def _executable_segments(self) -> tuple[Segment, ...]:
        return tuple(segment for segment in self.segments if segment.type == "PT_LOAD" and segment.executable)

    @cached_property
    def build_id(self) -> str | None:
        """The GNU build-id in hex."""
        return self._headers.build_id()

    @cached_property
    def interpreter(self) -> str | None:
        """Path of the dynamic loader that the program asks for."""
        return self._headers.interpreter()

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The libraries that the image needs (DT_NEEDED), in order."""
        return tuple(self._headers.dynamic_strings("DT_NEEDED"))

    @cached_property
    def soname(self) -> str | None:
        """The name that the library gives itself (DT_SONAME)."""
        return next(iter(self._headers.dynamic_strings("DT_SONAME")), None)

    # Content

    def file_offset(self, address: int) -> int | None:
        """Where in the file the byte of that address is, or None if no loaded segment has it."""
        for segment in self.segments:
            start = segment.address
            if segment.type == "PT_LOAD" and start <= address < start + segment.file_size:
                return segment.offset + address - start
        return None

    def is_code(self, address: int) -> bool:
        """Whether the address is in an executable segment, in the part that comes from the file."""
        return any(
            segment.address <= address < segment.address + segment.file_size
            for segment in self.executable_segments()
        )

    def read(self, address: int, size: int) -> bytes:
        """Bytes at an address; fewer if the segment ends before.

        :raise ElfError: if no loaded segment has the address.
        """
        for segment in self.segments:
            start, length = segment.address, segment.file_size
            if segment.type == "PT_LOAD" and start <= address < start + length:
                size = min(size, start + length - address)
                return self.pread(segment.offset + address - start, size, "a segment")
        raise self.error(f"no loaded segment holds address {address:#x}")

    def pread(self, offset: int, size: int, what: str) -> bytes:
        """Bytes of the file, all of them; `what` they are is for the error."""
        self._check_range(offset, size, what)
        if size > _MAX_READ:
            raise self.error(f"{what} would have {size} bytes")
        try:
            content = os.pread(self.fd, size, offset)
        except OSError as error:
            raise self.error(f"{what} can't be read: {error.strerror}") from None
        if len(content) != size:
            raise self.error(f"the file was cut while it was read ({what})")
        return content

    def chunks(self, offset: int, size: int, overlap: int, what: str) -> Iterator[tuple[int, bytes]]:
        """A part of the file piece by piece, each with its offset, repeating `overlap` bytes."""
        self._check_range(offset, size, what)
        end = offset + size
        while (offset := self.next_data(offset)) < end:
            length = min(_CHUNK + overlap, end - offset)
            yield offset, self.pread(offset, length, what)
            if offset + length == end:
                return
            offset += _CHUNK

    def next_data(self, offset: int) -> int:
        """The next byte of the file, from an offset on, that is not in a hole (which takes no room on disk,
        and reads as zeros)."""
        position = os.lseek(self.fd, 0, os.SEEK_CUR)  # it is the caller's
        try:
            return os.lseek(self.fd, offset, os.SEEK_DATA)
        except OSError as error:
            return self.size if error.errno == errno.ENXIO else offset
        finally:
            os.lseek(self.fd, position, os.SEEK_SET)

    def data_parts(self) -> list[tuple[int, int, int]]:
        """(address, offset in the file, size) of the constants and variables that the loader maps.

        By the sections; if there are none, everything that is loaded, code too.
        """
        parts = [
            (section.address, section.offset, section.file_size)
            for section in self.sections
            if section.type == "SHT_PROGBITS"
            and section.flags & (SH_FLAGS.SHF_ALLOC | SH_FLAGS.SHF_EXECINSTR) == SH_FLAGS.SHF_ALLOC
        ] or [
            (segment.address, segment.offset, segment.file_size)
            for segment in self.segments
            if segment.type == "PT_LOAD"
        ]
        total = sum(size for _, _, size in parts)
        if total > 2 * self.size:
            raise self.error("the sections' sizes add up to more than the file holds")
        if total > MAX_LOOKED_THROUGH:
            raise self.error(f"{total} bytes of data are too many to be looked through")
        return parts

    def data_chunks(self, overlap: int) -> Iterator[bytes]:
        """The content of `data_parts`, piece by piece, repeating `overlap` bytes."""
        for _, offset, size in self.data_parts():
            for _, chunk in self.chunks(offset, size, overlap, "a section with data"):
                yield chunk

    def contains(self, *texts: bytes) -> set[bytes]:
        """Which of the texts the image's data contain."""
        missing = set(texts)
        if missing:
            for chunk in self.data_chunks(max(map(len, missing)) - 1):
                missing = {text for text in missing if text not in chunk}
                if not missing:
                    break
        return set(texts) - missing

    def search(self, pattern: re.Pattern[bytes], longest: int) -> re.Match[bytes] | None:
        """The first match in the image's data of a pattern that matches at most `longest` bytes."""
        for chunk in self.data_chunks(longest):
            if match := pattern.search(chunk):
                return match
        return None

    def _check_range(self, offset: int, size: int, what: str) -> None:
        if offset + size > self.size:
            raise self.error(f"{what} would end at byte {offset + size}, the file has {self.size}")

    def error(self, problem: str) -> ElfError:
        """An ElfError that names this file."""
        return ElfError(f"{self.path}: {problem}")

    # Symbols

    def symbols(self, names: Collection[str]) -> dict[str, Symbol]:
        """The functions of these names that the image defines, by every means."""
        return self.find_symbols(names).found

    def find_symbols(self, names: Collection[str], *, debug: bool = True) -> SymbolLookup:
        """The same, with the names that stand for several functions.

        :param debug: also look into .gnu_debugdata and the separate debug file.
        """
        return find_symbols(self, names, debug=debug)

    def exported_addresses(self) -> frozenset[int]:
        """Addresses of all functions that .dynsym exports."""
        return exported_functions(self)
