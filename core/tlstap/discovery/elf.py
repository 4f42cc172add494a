"""Reads ELF images: 64-bit little-endian executables and shared libraries.

The files belong to others, who may be hostile and may change them at any time. So everything is read
with pread (a mapped file that somebody truncates would kill us with SIGBUS), every offset and size is
checked against the file, every table is bounded, and what is wrong is an ElfError that names the file.
Headers are unpacked here rather than by pyelftools, which takes 1.6 ms for each image and trusts counts;
the tests use it as the reference.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import NamedTuple, Self

from tlstap.discovery.files import FileIdentity, open_regular
from tlstap.discovery.symbols import Symbol, SymbolLookup, exported_functions, find_symbols
from tlstap.errors import ElfError

MACHINES = {62: "x86_64", 183: "aarch64"}

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
PF_X = 1
SHT_PROGBITS, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME = 1, 5, 10, 14
_NT_GNU_BUILD_ID = 3
_TYPES = {2: "executable", 3: "shared"}

_FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_NOTE = struct.Struct("<III")
_DYNAMIC = struct.Struct("<qQ")

_MAX_SEGMENTS = 256
_MAX_SECTIONS = 65_535
_MAX_DYNAMIC = 4096
_MAX_STRING = 4096
_MAX_NOTES = 64 << 10
_MAX_BUILD_ID = 64
_MAX_READ = 256 << 20
_CHUNK = 1 << 20


class NotElfError(ElfError):
    """The file is something else: a script, data, code that a program made up."""


class ForeignElfError(ElfError):
    """A proper ELF file, but of another machine or size, or an object or core file."""


class Segment(NamedTuple):
    """A program header."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int

    @property
    def executable(self) -> bool:
        return bool(self.flags & PF_X)


class Section(NamedTuple):
    """A section header; `file_size` is 0 for sections without content."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    file_size: int
    link: int
    entry_size: int


class ElfImage:
    """An ELF file, read through a file descriptor; the path is for messages only.

    Addresses are ELF virtual addresses (before relocation). Every method raises ElfError if the file
    is malformed.
    """

    def __init__(self, fd: int, path: str, *, owns_fd: bool, debug_file: bool = False) -> None:
        self.fd = fd
        self.path = path
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
        start = os.pread(self.fd, _FILE_HEADER.size, 0)
        if start[:4] != b"\x7fELF":
            raise NotElfError(f"{self.path}: not an ELF file")
        if len(start) < _FILE_HEADER.size:
            raise self.error("the file ends inside the ELF header")
        ident, kind, machine, _, self.entry, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, names = (
            _FILE_HEADER.unpack(start)
        )
        if ident[4:6] != b"\x02\x01" or machine not in MACHINES:
            raise ForeignElfError(
                f"{self.path}: not for x86-64 or aarch64 (class {ident[4]}, machine {machine})"
            )
        if kind not in _TYPES:
            raise ForeignElfError(
                f"{self.path}: neither an executable nor a shared library (ELF type {kind})"
            )
        self.machine = MACHINES[machine]
        self.type = _TYPES[kind]
        if phnum > _MAX_SEGMENTS or (phnum and phentsize != _PROGRAM_HEADER.size):
            raise self.error(f"{phnum} program headers of {phentsize} bytes")
        self.segments = tuple(
            Segment(type_, flags, offset, address, file_size)
            for type_, flags, offset, address, _, file_size, _, _ in _PROGRAM_HEADER.iter_unpack(
                self.pread(phoff, phnum * _PROGRAM_HEADER.size, "the program headers")
            )
        )
        self._section_table = (shoff, shnum, shentsize, names)
        if not debug_file:  # a debug file keeps the headers of what was taken out of it
            for segment in self.segments:
                if segment.type == PT_LOAD:
                    self._check_range(segment.offset, segment.file_size, "a loaded segment")

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers; empty if the file has none."""
        offset, count, entry_size, names_index = self._section_table
        if offset == 0:
            return ()
        if count == 0 or count > _MAX_SECTIONS or entry_size != _SECTION_HEADER.size:
            raise self.error(f"{count} section headers of {entry_size} bytes")
        headers = list(
            _SECTION_HEADER.iter_unpack(self.pread(offset, count * entry_size, "the section headers"))
        )
        if names_index >= count:
            raise self.error(f"section {names_index} of {count} should hold the sections' names")
        names_header = headers[names_index]
        if names_header[1] == 8:
            raise self.error("the sections' names have no content")
        names = self.pread(names_header[4], names_header[5], "the sections' names")
        return tuple(self._section(header, names) for header in headers)

    def _section(self, header: tuple[int, ...], names: bytes) -> Section:
        name_offset, type_, flags, address, offset, size, link, _, _, entry_size = header
        end = names.find(b"\0", name_offset, name_offset + 256)
        if name_offset > len(names) or end < 0:
            raise self.error(f"a section's name is not in the table of names (offset {name_offset})")
        has_content = type_ not in (0, 8)  # SHT_NULL, SHT_NOBITS
        name = names[name_offset:end].decode("latin-1")
        return Section(name, type_, flags, address, offset, size if has_content else 0, link, entry_size)

    def section(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((section for section in self.sections if section.name == name), None)

    def executable_segments(self) -> tuple[Segment, ...]:
        """The loaded segments that hold code."""
        return tuple(segment for segment in self.segments if segment.type == PT_LOAD and segment.executable)

    # Notes and the dynamic section

    @cached_property
    def build_id(self) -> str | None:
        """The GNU build-id in hex."""
        for segment in self.segments:
            if segment.type == PT_NOTE and 0 < segment.file_size <= _MAX_NOTES:
                notes = self.pread(segment.offset, segment.file_size, "a note segment")
                for name, kind, content in _notes(notes):
                    if name == b"GNU\0" and kind == _NT_GNU_BUILD_ID and 2 <= len(content) <= _MAX_BUILD_ID:
                        return content.hex()
        return None

    @cached_property
    def interpreter(self) -> str | None:
        """Path of the dynamic loader that the program asks for."""
        segment = next((segment for segment in self.segments if segment.type == PT_INTERP), None)
        if segment is None:
            return None
        text = self.pread(segment.offset, min(segment.file_size, _MAX_STRING), "the interpreter's path")
        return os.fsdecode(text.partition(b"\0")[0]) or None

    @cached_property
    def _dynamic(self) -> tuple[tuple[int, int], ...]:
        segment = next((segment for segment in self.segments if segment.type == PT_DYNAMIC), None)
        if segment is None or segment.file_size == 0:
            return ()
        size = min(segment.file_size, _MAX_DYNAMIC * _DYNAMIC.size) // _DYNAMIC.size * _DYNAMIC.size
        entries = []
        for tag, value in _DYNAMIC.iter_unpack(self.pread(segment.offset, size, "the dynamic section")):
            if tag == 0:
                break
            entries.append((tag, value))
        return tuple(entries)

    def _dynamic_strings(self, wanted: int) -> list[str]:
        tags = dict(self._dynamic)
        table = tags.get(_DT_STRTAB)
        if table is None or wanted not in tags:
            return []
        base = self.file_offset(table)
        if base is None:
            raise self.error("the dynamic string table is in no loaded segment")
        size = tags.get(_DT_STRSZ, 0)
        strings = []
        for tag, offset in self._dynamic:
            if tag == wanted:
                if offset >= size:
                    raise self.error("a string of the dynamic section is outside its table")
                text = self.pread(base + offset, min(_MAX_STRING, size - offset), "a dynamic string")
                strings.append(os.fsdecode(text.partition(b"\0")[0]))
        return strings

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The libraries that the image needs (DT_NEEDED), in order."""
        return tuple(self._dynamic_strings(_DT_NEEDED))

    @cached_property
    def soname(self) -> str | None:
        """The name that the library gives itself (DT_SONAME)."""
        names = self._dynamic_strings(_DT_SONAME)
        return names[0] if names else None

    # Content

    def file_offset(self, address: int) -> int | None:
        """Where in the file the byte of that address is, or None if no loaded segment has it."""
        for segment in self.segments:
            start = segment.address
            if segment.type == PT_LOAD and start <= address < start + segment.file_size:
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
            if segment.type == PT_LOAD and start <= address < start + length:
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
        while offset < end:
            length = min(_CHUNK + overlap, end - offset)
            yield offset, self.pread(offset, length, what)
            if offset + length == end:
                return
            offset += _CHUNK

    def data_chunks(self, overlap: int) -> Iterator[bytes]:
        """The constants and variables that the loader maps, piece by piece, repeating `overlap` bytes.

        By the sections; if there are none, everything that is loaded, code too.
        """
        parts: list[tuple[int, int]] = [
            (section.offset, section.file_size)
            for section in self.sections
            if section.type == SHT_PROGBITS and section.flags & (SHF_ALLOC | SHF_EXECINSTR) == SHF_ALLOC
        ] or [(segment.offset, segment.file_size) for segment in self.segments if segment.type == PT_LOAD]
        if sum(size for _, size in parts) > 2 * self.size:
            raise self.error("the sections' sizes add up to more than the file holds")
        for offset, size in parts:
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


def _notes(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """(name, type, content) of each note, until one doesn't fit. Linkers align to 4, also in 64-bit files."""
    position = 0
    while position + _NOTE.size <= len(data):
        name_size, size, kind = _NOTE.unpack_from(data, position)
        position += _NOTE.size
        content = position + (name_size + 3 & ~3)
        if content + size > len(data):
            return
        yield data[position : position + name_size], kind, data[content : content + size]
        position = content + (size + 3 & ~3)
