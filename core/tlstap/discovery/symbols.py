"""Looks functions up in an image's symbol tables.

Instead of decoding every symbol, the names are searched in the string table and the symbols that point
there are picked: a table with a million symbols takes about 30 ms, and nothing at all if no name is in it.
"""

from __future__ import annotations

import lzma
import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from tlstap.discovery.files import open_regular
from tlstap.errors import ElfError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.elf_parts import Section

Table = Literal["dynsym", "symtab", "gnu_debugdata", "debug file"]

_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOLS_AT_ONCE = 32_768
_MAX_SYMBOLS = 16_000_000
_MAX_PLACES = 65_536
_MAX_DEBUGDATA = 64 << 20
_DEBUG_FOLDER = "/usr/lib/debug/.build-id"

_SHN_UNDEF, _SHN_FIRST_SPECIAL, _SHN_XINDEX = 0, 0xFF00, 0xFFFF
_STT_FUNC, _STT_IFUNC = 2, 10
_STB_LOCAL = 0
_VERSYM_HIDDEN = 0x8000


class Symbol(NamedTuple):
    """A function that an image defines: `name`, `address`, `size` in bytes, and the `table` that says so."""

    name: str
    address: int
    size: int
    table: Table


@dataclass(slots=True)
class SymbolLookup:
    """`ambiguous`: names that stand for several functions, with their addresses; those are not found."""

    found: dict[str, Symbol] = field(default_factory=dict)
    ambiguous: dict[str, tuple[int, ...]] = field(default_factory=dict)


class _Candidate(NamedTuple):
    name: str
    address: int
    size: int
    preferred: bool
    """The default version of the name, or a global symbol."""


def find_symbols(image: ElfImage, names: Collection[str], *, debug: bool = True) -> SymbolLookup:
    """Look names up in .dynsym, then .symtab, .gnu_debugdata and the separate debug file.

    :raise ElfError: if the image's own tables are malformed. Debug information that can't be used is no
        error: it is only one more means.
    """
    lookup = SymbolLookup()
    missing = set(names)
    for section_type, table in (("SHT_DYNSYM", "dynsym"), ("SHT_SYMTAB", "symtab")):
        _search(image, image, section_type, table, missing, lookup)  # type: ignore[arg-type]
    if debug and missing:
        _search_debugdata(image, missing, lookup)
    if debug and missing:
        _search_debug_file(image, missing, lookup)
    return lookup


def exported_functions(image: ElfImage) -> frozenset[int]:
    """Addresses of the functions that .dynsym defines and others can call."""
    section = _table(image, "SHT_DYNSYM")
    if section is None:
        return frozenset()
    exported = set()
    for _, _, symbols in _batches(image, section):
        for _, info, other, index, address, _ in _SYMBOL.iter_unpack(symbols):
            visible = other & 3 in (0, 3)  # default, protected
            if _defined(index) and visible and info & 15 in (_STT_FUNC, _STT_IFUNC) and info >> 4:
                exported.add(address)
    return frozenset(exported)


def _search(
    image: ElfImage,
    holder: ElfImage,
    section_type: str,
    table: Table,
    missing: set[str],
    lookup: SymbolLookup,
) -> None:
    """Search one table of `holder` (the image or its debug information) and take the names found off."""
    section = _table(holder, section_type) if missing else None
    if section is None:
        return
    candidates: dict[str, list[_Candidate]] = {}
    for candidate in _candidates(holder, section, _name_offsets(holder, section, missing)):
        if image.is_code(candidate.address):
            candidates.setdefault(candidate.name, []).append(candidate)
    for name, found in candidates.items():
        chosen = [candidate for candidate in found if candidate.preferred] or found
        addresses = {candidate.address for candidate in chosen}
        missing.discard(name)
        if len(addresses) == 1:
            size = max(candidate.size for candidate in chosen)
            lookup.found[name] = Symbol(name, chosen[0].address, size, table)
        else:
            lookup.ambiguous[name] = tuple(sorted(addresses))


def _table(image: ElfImage, section_type: str) -> Section | None:
    section = next((section for section in image.sections if section.type == section_type), None)
    if section is None or section.file_size == 0:
        return None
    if section.entry_size != _SYMBOL.size or section.file_size // _SYMBOL.size > _MAX_SYMBOLS:
        raise image.error(
            f"{section.name} has {section.file_size} bytes in entries of {section.entry_size}, not 24"
        )
    if section.link >= len(image.sections):
        raise image.error(f"{section.name} has its names in section {section.link}, which does not exist")
    return section


def _name_offsets(image: ElfImage, section: Section, names: Collection[str]) -> dict[int, str]:
    """Where in the table's strings each name ends a string: linkers merge `read` into `SSL_read`."""
    strings = image.sections[section.link]
    wanted = [(name, name.encode() + b"\0") for name in names]
    overlap = max(len(text) for _, text in wanted) - 1
    places: dict[int, str] = {}
    for start, chunk in image.chunks(strings.offset, strings.file_size, overlap, strings.name):
        for name, text in wanted:
            position = chunk.find(text)
            while position >= 0:
                places[start - strings.offset + position] = name
                if len(places) > _MAX_PLACES:
                    raise image.error(f"{strings.name} repeats a name more than {_MAX_PLACES} times")
                position = chunk.find(text, position + 1)
    return places


def _candidates(image: ElfImage, section: Section, places: dict[int, str]) -> Iterator[_Candidate]:
    if not places:
        return
    for first, name_offsets, symbols in _batches(image, section):
        if places.keys().isdisjoint(name_offsets):
            continue
        for position, offset in enumerate(name_offsets):
            name = places.get(offset)
            if name is None:
                continue
            _, info, _, index, address, size = _SYMBOL.unpack_from(symbols, position * _SYMBOL.size)
            if _defined(index) and info & 15 == _STT_FUNC:
                preferred = info >> 4 != _STB_LOCAL and not _hidden_version(image, section, first + position)
                yield _Candidate(name, address, size, preferred)


def _batches(image: ElfImage, section: Section) -> Iterator[tuple[int, list[int], bytes]]:
    """(index of the first, all name offsets, the raw symbols) for a batch of symbols after another."""
    count = section.file_size // _SYMBOL.size
    for first in range(0, count, _SYMBOLS_AT_ONCE):
        batch = min(_SYMBOLS_AT_ONCE, count - first)
        offset = section.offset + first * _SYMBOL.size
        symbols = image.pread(offset, batch * _SYMBOL.size, section.name)
        yield first, memoryview(symbols).cast("I")[::6].tolist(), symbols


def _defined(section_index: int) -> bool:
    return section_index != _SHN_UNDEF and (
        section_index < _SHN_FIRST_SPECIAL or section_index == _SHN_XINDEX
    )


def _hidden_version(image: ElfImage, section: Section, index: int) -> bool:
    """Whether this symbol of .dynsym is an old version of its name, kept for old programs."""
    if section.type != "SHT_DYNSYM":
        return False
    versions = next((section for section in image.sections if section.type == "SHT_GNU_versym"), None)
    if versions is None or (index + 1) * 2 > versions.file_size:
        return False
    version = image.pread(versions.offset + index * 2, 2, versions.name)
    return bool(int.from_bytes(version, "little") & _VERSYM_HIDDEN)


def _search_debugdata(image: ElfImage, missing: set[str], lookup: SymbolLookup) -> None:
    """Search the small compressed symbol table that Fedora leaves in stripped files."""
    section = image.section(".gnu_debugdata")
    if section is None or section.file_size > _MAX_DEBUGDATA:
        return
    compressed = image.pread(section.offset, section.file_size, section.name)
    try:
        # One bounded step: a bomb's rest is never decompressed.
        content = lzma.LZMADecompressor(memlimit=_MAX_DEBUGDATA).decompress(compressed, _MAX_DEBUGDATA)
    except lzma.LZMAError:
        return
    fd = os.memfd_create("gnu_debugdata", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        _search_companion(image, fd, ".gnu_debugdata", "gnu_debugdata", missing, lookup)
    finally:
        os.close(fd)


def _search_debug_file(image: ElfImage, missing: set[str], lookup: SymbolLookup) -> None:
    """Search the file with debug information that a package of the distribution has installed."""
    if image.build_id is None:
        return
    path = f"{_DEBUG_FOLDER}/{image.build_id[:2]}/{image.build_id[2:]}.debug"
    try:
        fd = open_regular(path)
    except OSError:
        return
    try:
        _search_companion(image, fd, path, "debug file", missing, lookup)
    finally:
        os.close(fd)


def _search_companion(
    image: ElfImage, fd: int, path: str, table: Table, missing: set[str], lookup: SymbolLookup
) -> None:
    try:
        with type(image).from_fd(fd, path, debug_file=True) as holder:
            if holder.machine == image.machine and holder.build_id in (None, image.build_id):
                _search(image, holder, "SHT_SYMTAB", table, missing, lookup)
    except ElfError:
        return  # damaged debug information is none
