"""Where functions begin and end, by the unwind information that a stripped image still has.

The sorted table of .eh_frame_hdr leads to the entry of .eh_frame (an FDE) that covers an address. Linux
Standard Base, "Exception Frames"; DWARF 5, 6.4.1. Both tables are parsed here, not by pyelftools, which
parses all of .eh_frame and trusts it. Static programs have no sorted table; there .eh_frame is read as a
whole, as far as it is understood.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from tlstap.errors import ElfError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

_HEADER = struct.Struct("<BBBBiI")
_ROW = struct.Struct("<ii")
_VERSION = 1
_PCREL_SDATA4, _UDATA4, _DATAREL_SDATA4 = 0x1B, 0x03, 0x3B
_OMITTED = 0xFF

_ABSOLUTE, _PCREL = 0x00, 0x10
_INTEGERS = {
    0x00: struct.Struct("<Q"),  # absptr
    0x03: struct.Struct("<I"),
    0x04: struct.Struct("<Q"),
    0x0B: struct.Struct("<i"),
    0x0C: struct.Struct("<q"),
}
_EXTENDED_LENGTH = 0xFFFFFFF0
_MAX_FRAMES = 16 << 20
"""Bytes of .eh_frame that are read where there is no sorted table."""
_MAX_CIE = 64
"""Bytes of a CIE that hold everything up to its augmentation data."""
_LONGEST_LEB128 = 10
_ADDRESSES = 1 << 64


class Bounds(NamedTuple):
    """A function's code: from `start` to before `end`."""

    start: int
    end: int


_without_table: WeakKeyDictionary[ElfImage, list[Bounds]] = WeakKeyDictionary()


def function_bounds(image: ElfImage, address: int) -> Bounds | None:
    """The function (or the cold part of one) that the address is in.

    Stubs of a linkage table may have one entry for all of them together.

    :return: None if no entry covers the address, or there are no tables.
    :raise ElfError: if the tables are malformed, or encoded in a way that is not known here.
    """
    segment = next((segment for segment in image.segments if segment.type == "PT_GNU_EH_FRAME"), None)
    if segment is None:
        return _search_all(image, address)
    version, frame_encoding, count_encoding, table_encoding, _, count = _unpack(
        image, _HEADER, segment.address
    )
    if _OMITTED in (count_encoding, table_encoding):
        return None
    encodings = (version, frame_encoding, count_encoding, table_encoding)
    if encodings != (_VERSION, _PCREL_SDATA4, _UDATA4, _DATAREL_SDATA4):
        raise image.error(f".eh_frame_hdr is encoded in an unknown way ({bytes(encodings).hex()})")
    if _HEADER.size + count * _ROW.size > segment.file_size:
        raise image.error(f".eh_frame_hdr has no room for {count} entries")
    row = _last_row_before(image, segment.address, count, address)
    if row is None:
        return None
    start, entry = row
    bounds = _entry_bounds(image, entry)
    if bounds.start != start:
        raise image.error(f".eh_frame_hdr says {start:#x} and .eh_frame {bounds.start:#x} for a function")
    return bounds if bounds.start <= address < bounds.end else None


def _search_all(image: ElfImage, address: int) -> Bounds | None:
    if image not in _without_table:
        _without_table[image] = _read_all(image)
    entries = _without_table[image]
    index = bisect_right(entries, (address, _ADDRESSES)) - 1
    return entries[index] if index >= 0 and address < entries[index].end else None


def _read_all(image: ElfImage) -> list[Bounds]:
    """What the entries of .eh_frame cover, sorted; up to the first that is not understood."""
    section = image.section(".eh_frame")
    if section is None or section.file_size > _MAX_FRAMES:
        return []
    content = image.pread(section.offset, section.file_size, section.name)
    entries: list[Bounds] = []
    encodings: dict[int, int] = {}
    position = 0
    while position + 8 <= len(content):
        length, distance = struct.unpack_from("<II", content, position)
        if not 4 <= length < _EXTENDED_LENGTH:
            break  # the end, or an entry of more than 4 GiB
        if distance:  # 0 is a CIE
            try:
                entries.append(_frame(image, content, section.address, position, distance, encodings))
            except (ElfError, struct.error):
                break
        position += 4 + length
    return sorted(entries)


def _frame(
    image: ElfImage, content: bytes, base: int, position: int, distance: int, encodings: dict[int, int]
) -> Bounds:
    """What the FDE at a position of .eh_frame covers; the encodings are those of its CIEs."""
    common = base + position + 4 - distance
    if common not in encodings:
        encodings[common] = _pointer_encoding(image, common)
    form, relation = encodings[common] & 0x0F, encodings[common] & 0xF0
    if form not in _INTEGERS or relation not in (_ABSOLUTE, _PCREL):
        raise image.error(f".eh_frame has addresses of unknown encoding {encodings[common]:#x}")
    integer = _INTEGERS[form]
    place = position + 8
    (start,) = integer.unpack_from(content, place)
    (size,) = integer.unpack_from(content, place + integer.size)
    start = (start + (base + place if relation == _PCREL else 0)) % _ADDRESSES
    if not 0 <= size < _ADDRESSES - start:
        raise image.error(f"the entry of .eh_frame at {base + position:#x} is about no function")
    return Bounds(start, start + size)


def _last_row_before(image: ElfImage, header: int, count: int, address: int) -> tuple[int, int] | None:
    """(start of the function, address of the FDE) of the last row whose function starts at or before."""
    found = None
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        start, entry = _unpack(image, _ROW, header + _HEADER.size + middle * _ROW.size)
        if header + start <= address:
            found = header + start, header + entry
            low = middle + 1
        else:
            high = middle
    return found


def _entry_bounds(image: ElfImage, entry: int) -> Bounds:
    """What an FDE covers: length, distance back to its CIE, start, size."""
    length, distance = _unpack(image, struct.Struct("<II"), entry)
    if not 4 < length < _EXTENDED_LENGTH or not 0 < distance <= entry + 4:
        raise image.error(f"no function's entry of .eh_frame is at {entry:#x}")
    encoding = _pointer_encoding(image, entry + 4 - distance)
    integer = _INTEGERS.get(encoding & 0x0F)
    relation = encoding & 0xF0
    if integer is None or relation not in (_ABSOLUTE, _PCREL):
        raise image.error(f".eh_frame has addresses of unknown encoding {encoding:#x}")
    place = entry + 8
    start = (_unpack(image, integer, place)[0] + (place if relation == _PCREL else 0)) % _ADDRESSES
    size = _unpack(image, integer, place + integer.size)[0]
    if not 0 <= size < _ADDRESSES - start:
        raise image.error(f"the entry of .eh_frame at {entry:#x} is about no function")
    return Bounds(start, start + size)


def _pointer_encoding(image: ElfImage, address: int) -> int:
    """How the FDEs of a CIE encode addresses (DW_EH_PE_...), by its augmentation."""
    problem = image.error(f"the CIE of .eh_frame at {address:#x} is not understood")
    content = image.read(address, _MAX_CIE)
    if len(content) < 9 or content[4:8] != bytes(4) or content[8] not in (1, 3):
        raise problem
    version = content[8]
    augmentation, terminator, rest = content[9:].partition(b"\0")
    if not terminator or (augmentation and not augmentation.startswith(b"z")):
        raise problem
    position = _after_leb128(rest, _after_leb128(rest, 0))  # the alignment factors of code and data
    # The return address's register, then the size of what follows.
    position = position + 1 if version == 1 else _after_leb128(rest, position)
    position = _after_leb128(rest, position)
    for letter in augmentation[1:]:
        if position >= len(rest):
            raise problem
        value = rest[position]
        if letter == ord("R"):
            return value
        if letter == ord("L"):  # how pointers to language specific data are encoded
            position += 1
        elif letter == ord("P"):  # the personality routine
            if value & 0x70 not in (_ABSOLUTE, _PCREL) or value & 0x0F not in _INTEGERS:
                raise problem
            position += 1 + _INTEGERS[value & 0x0F].size
        elif letter not in b"SBG":  # a signal's frame, signed return addresses, tagged memory: no data
            raise problem
    return 0


def _after_leb128(content: bytes, position: int) -> int:
    """Where a LEB128 number ends; beyond the content if it has no end there."""
    for end in range(position, min(position + _LONGEST_LEB128, len(content))):
        if content[end] < 0x80:
            return end + 1
    return len(content)


def _unpack(image: ElfImage, form: struct.Struct, address: int) -> tuple[int, ...]:
    content = image.read(address, form.size)
    if len(content) != form.size:
        raise image.error(f"unwind information ends at {address:#x}")
    return form.unpack(content)
