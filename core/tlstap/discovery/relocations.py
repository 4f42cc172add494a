"""What the dynamic loader writes into an image: the addresses and the symbols of its dynamic relocations.

Read by way of the dynamic segment, so it works without section headers too.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

MAX_RELOCATIONS = 1 << 19
"""More than any library has whose functions are looked for in this way; it bounds memory to about 100 MB."""

_MAX_DYNAMIC = 4096
_MAX_SYMBOLS = 1 << 20
_MAX_STRINGS = 32 << 20

_ENTRY = struct.Struct("<QQ")
_RELA = struct.Struct("<QIIQ")  # where, the kind, the symbol, the addend
_SYMBOL = struct.Struct("<IBBHQQ")
_WORD = 8
_BITS = 63
"""Words that a bitmap of DT_RELR covers; its lowest bit says that it is one."""

_DT_NULL, _DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 0, 2, 5, 6, 7, 8
_DT_STRSZ, _DT_JMPREL, _DT_RELRSZ, _DT_RELR = 10, 23, 35, 36


class _Kinds(NamedTuple):
    relative: int
    absolute: int
    glob_dat: int
    jump_slot: int


_KINDS = {"x86_64": _Kinds(8, 1, 6, 7), "aarch64": _Kinds(1027, 257, 1025, 1026)}


class Relocations:
    """The dynamic relocations of an image, read when they are first asked for.

    Everything raises ElfError if the tables are malformed, or if there are more than MAX_RELOCATIONS.
    """

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._kinds = _KINDS[image.machine]

    @cached_property
    def relative(self) -> Mapping[int, int]:
        """Words that hold addresses of the image itself: where they are, and their link-time values.

        From R_X86_64_RELATIVE, R_AARCH64_RELATIVE and DT_RELR.
        """
        relative = {where: value for where, kind, _, value in self._entries if kind == self._kinds.relative}
        relative.update(self._packed())
        return MappingProxyType(relative)

    @cached_property
    def slots(self) -> Mapping[int, str]:
        """Words that hold the address of a symbol, GOT slots above all: where they are, and its name.

        The symbol may be one that the image itself defines.
        """
        bound = {}
        for where, kind, symbol, addend in self._entries:
            if symbol and kind in self._kinds[1:] and addend == 0:
                bound[where] = symbol
        names = self._names(set(bound.values()))
        return MappingProxyType({where: names[symbol] for where, symbol in bound.items() if names[symbol]})

    @cached_property
    def got(self) -> frozenset[int]:
        """The slots that only the loader writes: those of the global offset table."""
        kinds = (self._kinds.glob_dat, self._kinds.jump_slot)
        return frozenset(where for where, kind, *_ in self._entries if kind in kinds) & self.slots.keys()

    @cached_property
    def all_places(self) -> frozenset[int]:
        """Where any relocation is, also those of other kinds: what the file holds there means nothing."""
        return frozenset(where for where, *_ in self._entries).union(self.relative)

    @cached_property
    def _dynamic(self) -> dict[int, int]:
        """The values of the dynamic segment's entries by tag, the first of each."""
        segment = next((segment for segment in self._image.segments if segment.type == "PT_DYNAMIC"), None)
        values: dict[int, int] = {}
        if segment is None:
            return values
        size = min(segment.file_size // _ENTRY.size, _MAX_DYNAMIC) * _ENTRY.size
        for tag, value in _ENTRY.iter_unpack(self._image.pread(segment.offset, size, "the dynamic section")):
            if tag == _DT_NULL:
                break
            values.setdefault(tag, value)
        return values

    @cached_property
    def _entries(self) -> list[tuple[int, int, int, int]]:
        """(where, kind, symbol's number, addend) of the entries of both tables with addends."""
        entries: list[tuple[int, int, int, int]] = []
        for table, size in ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ)):
            content = self._table(table, size, _RELA.size)
            if len(content) // _RELA.size + len(entries) > MAX_RELOCATIONS:
                raise self._image.error(f"more than {MAX_RELOCATIONS} relocations")
            entries += _RELA.iter_unpack(content)
        return entries

    def _table(self, address_tag: int, size_tag: int, entry_size: int) -> bytes:
        """A table that the dynamic section names, all of it, cut to whole entries; empty if there is none."""
        address, size = self._dynamic.get(address_tag), self._dynamic.get(size_tag, 0)
        size -= size % entry_size
        if address is None or size == 0:
            return b""
        if size // entry_size > MAX_RELOCATIONS:
            raise self._image.error(f"more than {MAX_RELOCATIONS} relocations")
        return self._loaded(address, size)

    def _loaded(self, address: int, size: int) -> bytes:
        content = self._image.read(address, size)
        if len(content) != size:
            raise self._image.error(f"a table of {size} bytes at {address:#x} is not all in a loaded segment")
        return content

    def _packed(self) -> Iterator[tuple[int, int]]:
        """Where the words of DT_RELR are, and what the file holds there.

        An even entry is the address of a word. An odd one is a bitmap: which of the 63 words that follow
        those before.
        """
        entries = array("Q", self._table(_DT_RELR, _DT_RELRSZ, _WORD))
        count = 0
        following = 0
        for entry in entries:
            if entry & 1 == 0:
                places = [entry]
                following = entry + _WORD
            else:
                places = [following + bit * _WORD for bit in range(_BITS) if entry >> bit + 1 & 1]
                following += _BITS * _WORD
            count += len(places)
            if count > MAX_RELOCATIONS:
                raise self._image.error(f"more than {MAX_RELOCATIONS} relocations")
            if not places:
                continue
            start = places[0]
            content = self._loaded(start, places[-1] + _WORD - start)
            for place in places:
                yield place, int.from_bytes(content[place - start : place - start + _WORD], "little")

    def _names(self, numbers: set[int]) -> dict[int, str]:
        """The names of dynamic symbols by their numbers."""
        if not numbers:
            return {}
        count = max(numbers) + 1
        if count > _MAX_SYMBOLS:
            raise self._image.error(f"a relocation names symbol {count - 1}")
        table, strings = self._dynamic.get(_DT_SYMTAB), self._dynamic.get(_DT_STRTAB)
        size = self._dynamic.get(_DT_STRSZ, 0)
        if table is None or strings is None or not 0 < size <= _MAX_STRINGS:
            raise self._image.error("the dynamic section names no table of symbols, or none of their names")
        symbols = self._loaded(table, count * _SYMBOL.size)
        text = self._loaded(strings, size)
        names = {}
        for number in numbers:
            start = _SYMBOL.unpack_from(symbols, number * _SYMBOL.size)[0]
            end = text.find(b"\0", start)
            if end < 0:
                raise self._image.error(f"the name of dynamic symbol {number} is not in the table of names")
            names[number] = text[start:end].decode("latin-1")
        return names
