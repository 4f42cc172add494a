"""Parses, with pyelftools, what an ELF file says of itself: headers, notes, the dynamic section.

pyelftools trusts the file: it goes through as many entries as a count says and reads wherever an offset
leads. So it is never given the file, only a part of it at a time, bounded and read with pread; outside of
that part the file ends. Headers are parsed one by one: pyelftools' objects for sections, and the one for
PT_DYNAMIC, parse further sections that they refer to, so that damage anywhere would be damage everywhere.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from elftools.common.utils import struct_parse
from elftools.elf.dynamic import Dynamic
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment, NoteSegment

from tlstap.discovery.elf_parts import ForeignElfError, NotElfError, Section, Segment
from tlstap.errors import ElfError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}
_TYPES = {"ET_EXEC": "executable", "ET_DYN": "shared"}

_HEADER_SIZE = 64
_DYNAMIC_SIZE = 16
_MAX_SEGMENTS = 256
_MAX_DYNAMIC = 4096
_MAX_STRING = 4096
_MAX_NAME = 256
_MAX_NOTES = 64 << 10
_MAX_BUILD_ID = 64


class Headers:
    """The parsed headers of an image. `machine`, `type` and `entry` are as in ElfImage.

    Everything raises ElfError, whatever pyelftools raises.
    """

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        start = image.pread(0, min(_HEADER_SIZE, image.size), "the ELF header")
        if start[:4] != b"\x7fELF":
            raise NotElfError(f"{image.path}: not an ELF file")
        self._part = _Part()
        self._part.show(0, start)
        with self._parsing("the ELF header"):
            self._elf = ELFFile(self._part)
        machine, kind = self._elf["e_machine"], self._elf["e_type"]
        if self._elf.elfclass != 64 or not self._elf.little_endian or machine not in _MACHINES:
            raise ForeignElfError(
                f"{image.path}: not for x86-64 or aarch64 ({self._elf.elfclass} bits, machine {machine})"
            )
        if kind not in _TYPES:
            raise ForeignElfError(f"{image.path}: neither an executable nor a shared library ({kind})")
        self.machine = _MACHINES[machine]
        self.type = _TYPES[kind]
        self.entry: int = self._elf["e_entry"]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The program headers."""
        fields = ("p_type", "p_flags", "p_offset", "p_vaddr", "p_filesz")
        return tuple(Segment(*(header[name] for name in fields)) for header in self._program_headers)

    @cached_property
    def _program_headers(self) -> list[Any]:
        count: int = self._elf["e_phnum"]
        if count > _MAX_SEGMENTS:
            raise self._image.error(f"{count} program headers")
        return self._table("Elf_Phdr", self._elf["e_phoff"], count, self._elf["e_phentsize"], "program")

    def sections(self) -> tuple[Section, ...]:
        """The section headers; none if the file has no table of them."""
        offset, count, names_index = (self._elf[name] for name in ("e_shoff", "e_shnum", "e_shstrndx"))
        if offset == 0:
            return ()
        headers = self._table("Elf_Shdr", offset, count, self._elf["e_shentsize"], "section")
        if names_index >= count:
            raise self._image.error(f"section {names_index} of {count} should hold the sections' names")
        holder = headers[names_index]
        if holder["sh_type"] == "SHT_NOBITS":
            raise self._image.error("the sections' names have no content")
        names = self._image.pread(holder["sh_offset"], holder["sh_size"], "the sections' names")
        return tuple(self._section(header, names) for header in headers)

    def _section(self, header: Any, names: bytes) -> Section:
        start = header["sh_name"]
        end = names.find(b"\0", start, start + _MAX_NAME)
        if end < 0:
            raise self._image.error(f"a section's name is not in the table of names (offset {start})")
        return Section(
            name=names[start:end].decode("latin-1"),
            type=header["sh_type"],
            flags=header["sh_flags"],
            address=header["sh_addr"],
            offset=header["sh_offset"],
            file_size=0 if header["sh_type"] in ("SHT_NULL", "SHT_NOBITS") else header["sh_size"],
            link=header["sh_link"],
            entry_size=header["sh_entsize"],
        )

    def _table(self, structure: str, offset: int, count: int, size: int, kind: str) -> list[Any]:
        """The program or section headers, all read at once."""
        parser = getattr(self._elf.structs, structure)
        if count and size != parser.sizeof():
            raise self._image.error(f"{count} {kind} headers of {size} bytes")
        content = io.BytesIO(self._image.pread(offset, count * size, f"the {kind} headers"))
        with self._parsing(f"the {kind} headers"):
            return [struct_parse(parser, content) for _ in range(count)]

    def build_id(self) -> str | None:
        """The GNU build-id in hex."""
        bound = _MAX_NOTES
        for header in self._program_headers:
            if header["p_type"] != "PT_NOTE" or not 0 < header["p_filesz"] <= bound:
                continue
            bound -= header["p_filesz"]
            self._show(header, bound=_MAX_NOTES, what="a note segment")
            with self._parsing("a note segment"):
                for note in NoteSegment(header, self._part, self._elf).iter_notes():
                    content = note["n_descdata"]
                    if (note["n_name"], note["n_type"]) != ("GNU", "NT_GNU_BUILD_ID"):
                        continue
                    if len(content) == note["n_descsz"] and 2 <= len(content) <= _MAX_BUILD_ID:
                        return str(note["n_desc"])
        return None

    def interpreter(self) -> str | None:
        """Path of the dynamic loader that the program asks for."""
        header = self._program_header("PT_INTERP")
        if header is None or header["p_filesz"] == 0:
            return None
        self._show(header, bound=_MAX_STRING, what="the interpreter's path")
        with self._parsing("the interpreter's path"):
            return InterpSegment(header, self._part).get_interp_name() or None

    def dynamic_strings(self, tag: Literal["DT_NEEDED", "DT_SONAME"]) -> list[str]:
        """The values of the dynamic section's entries of that kind, in order."""
        if self._dynamic is None:
            return []
        attribute = tag.removeprefix("DT_").lower()
        with self._parsing("the dynamic section"):
            return [getattr(entry, attribute) for entry in self._dynamic.iter_tags(tag)]

    @cached_property
    def _dynamic(self) -> Dynamic | None:
        header = self._program_header("PT_DYNAMIC")
        if header is None:
            return None
        size = min(header["p_filesz"], _MAX_DYNAMIC * _DYNAMIC_SIZE) // _DYNAMIC_SIZE * _DYNAMIC_SIZE
        entries = self._image.pread(header["p_offset"], size, "the dynamic section")
        end = bytes(_DYNAMIC_SIZE)  # DT_NULL, if the file has none
        strings = _DynamicStrings(self._image)
        dynamic = Dynamic(io.BytesIO(entries + end), self._elf, strings, 0, False)
        with self._parsing("the dynamic section"):
            strings.address, strings.size = (
                next((entry["d_val"] for entry in dynamic.iter_tags(tag)), 0)
                for tag in ("DT_STRTAB", "DT_STRSZ")
            )
        return dynamic

    def _program_header(self, kind: str) -> Any:
        return next((header for header in self._program_headers if header["p_type"] == kind), None)

    def _show(self, header: Any, bound: int, what: str) -> None:
        offset: int = header["p_offset"]
        self._part.show(offset, self._image.pread(offset, min(header["p_filesz"], bound), what))

    @contextmanager
    def _parsing(self, what: str) -> Iterator[None]:
        try:
            yield
        except ElfError:
            raise
        except Exception as error:  # a damaged file makes pyelftools fail in about every way
            reason = " ".join(str(error).split())[:200]
            raise self._image.error(f"{what} can't be parsed: {reason or type(error).__name__}") from None


class _Part(io.BytesIO):
    """A part of a file, at the offsets that it has there; the file ends outside of it."""

    _start = 0

    def show(self, start: int, content: bytes) -> None:
        """Replace the part by another one."""
        self._start = start
        super().seek(0)
        self.truncate()
        self.write(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            offset -= self._start
        return super().seek(offset, whence) + self._start

    def tell(self) -> int:
        return super().tell() + self._start


class _DynamicStrings:
    """The string table of a dynamic section, in the form in which pyelftools asks for one."""

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self.address = 0
        self.size = 0

    def get_string(self, offset: int) -> str:
        base = self._image.file_offset(self.address)
        if base is None:
            raise self._image.error("the dynamic string table is in no loaded segment")
        if offset >= self.size:
            raise self._image.error("a string of the dynamic section is outside its table")
        text = self._image.pread(base + offset, min(_MAX_STRING, self.size - offset), "a dynamic string")
        return os.fsdecode(text.partition(b"\0")[0])
