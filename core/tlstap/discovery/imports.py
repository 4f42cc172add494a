"""Which code calls a function that an image imports: through stubs of its linkage table, or through slots.

The stubs and the calls are told by their code, so it works without section headers too.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from tlstap.errors import ElfError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.relocations import Relocations

_PLT_SECTIONS = (".plt", ".plt.sec", ".plt.got", ".iplt")

_LONGEST_STUB = 17
# Perhaps endbr64, perhaps the slot's number into r11d (mold's), and a jump through the slot, perhaps `bnd`.
_STUB_X86 = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?(?:\x41\xbb....)?\xf2?\xff\x25", re.DOTALL)
_BEFORE_JUMP_X86 = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?(?:\x41\xbb....)?\xf2?\Z", re.DOTALL)
# call, jmp and conditional jumps with a distance of 32 bits; call and jmp through memory at a distance.
_BRANCH_X86 = re.compile(rb"[\xe8\xe9]|\x0f[\x80-\x8f]|\xff[\x15\x25]", re.DOTALL)
_DISTANCE = struct.Struct("<i")
_JUMP_THROUGH_X86 = b"\xff\x25"

_BTI_C = 0xD503245F
_X16, _X17 = 16, 17
_NEAR = 16
"""Instructions between which the parts of one call through a slot are, on aarch64."""
_WORD = 4
_OVERLAP = 2 * _NEAR * _WORD


def stub_slot(image: ElfImage, address: int) -> int | None:
    """The slot through which the code at the address jumps at once, as a stub of a linkage table does."""
    try:
        code = image.read(address, _LONGEST_STUB + _DISTANCE.size)
    except ElfError:
        return None
    if image.machine == "x86_64":
        match = _STUB_X86.match(code)
        if match is None or match.end() + _DISTANCE.size > len(code):
            return None
        (distance,) = _DISTANCE.unpack_from(code, match.end())
        return int(address + match.end() + _DISTANCE.size + distance)
    words = _words(code)
    if words and words[0] == _BTI_C:
        words, address = words[1:], address + _WORD
    if len(words) < 2 or _adrp_register(words[0]) != _X16 or words[1] & 0xFFC003FF != 0xF9400000 | 0x211:
        return None
    return _page(words[0], address) + _scaled_offset(words[1])


def in_plt_section(image: ElfImage, address: int) -> bool:
    """Whether the sections say that the address is in a linkage table."""
    return any(
        section.name in _PLT_SECTIONS and section.address <= address < section.address + section.file_size
        for section in image.sections
    )


def call_sites(image: ElfImage, relocations: Relocations, name: str) -> list[int]:
    """Addresses of the instructions that call a function of that name, or jump to it, in rising order.

    Through stubs and slots, and directly where the image's symbol tables define the function. A prefix of
    the instruction is not counted. Bytes that only look like a call are possible, if very unlikely.

    :raise ElfError: if the image is malformed.
    """
    slots = {slot for slot, bound in relocations.slots.items() if bound == name}
    own = {symbol.address for symbol in image.symbols([name]).values()}
    if not slots and not own:
        return []
    find = _find_x86 if image.machine == "x86_64" else _find_aarch64
    return sorted(find(image, slots, own))


def _code(image: ElfImage) -> Iterator[tuple[int, bytes]]:
    """The code piece by piece, each with its address, some of it repeated."""
    for segment in image.executable_segments():
        for offset, code in image.chunks(segment.offset, segment.file_size, _OVERLAP, "the code"):
            yield segment.address + offset - segment.offset, code


# x86-64


def _find_x86(image: ElfImage, slots: Collection[int], own: Collection[int]) -> set[int]:
    """Direct branches to the function and to its stubs, calls through its slots, jumps that are no stubs."""
    jumps: dict[int, set[int]] = {}
    for start, code in _code(image):
        for position in _positions(code, _JUMP_THROUGH_X86):
            if _distance_target(start, code, position + 2) in slots:
                jumps.setdefault(start + position, set()).update(_entries_x86(start, code, position))
    targets = set(own).union(*jumps.values())
    sites = set()
    used = set()
    for start, code in _code(image):
        for match in _BRANCH_X86.finditer(code):
            target = _distance_target(start, code, match.end())
            if match[0][0] == 0xFF:
                if target in slots and match[0] != _JUMP_THROUGH_X86:
                    sites.add(start + match.start())
            elif target in targets:
                sites.add(start + match.start())
                used.add(target)
    return sites | {
        jump
        for jump, entries in jumps.items()
        if not in_plt_section(image, jump) and used.isdisjoint(entries)
    }


def _entries_x86(start: int, code: bytes, jump: int) -> set[int]:
    """Where a stub that ends with this jump may begin."""
    before = code[max(0, jump - _LONGEST_STUB) : jump]
    return {start + jump} | {
        start + jump - length
        for length in range(1, len(before) + 1)
        if _BEFORE_JUMP_X86.match(before, len(before) - length)
    }


def _distance_target(start: int, code: bytes, position: int) -> int | None:
    if position + _DISTANCE.size > len(code):
        return None
    return int(start + position + _DISTANCE.size + _DISTANCE.unpack_from(code, position)[0])


def _positions(code: bytes, wanted: bytes) -> Iterator[int]:
    position = code.find(wanted)
    while position >= 0:
        yield position
        position = code.find(wanted, position + 1)


# aarch64


def _find_aarch64(image: ElfImage, slots: Collection[int], own: Collection[int]) -> set[int]:
    """Calls and jumps through registers that were loaded from slots, direct ones to stubs and functions."""
    sites = set()
    targets = set(own)
    for start, code in _code(image):
        words = _words(code)
        for slot in slots:
            load = 0xF9400000 | (slot >> 3 & 0x1FF) << 10
            for index, word in enumerate(words):
                if word & 0xFFFFFC00 == load and _page_of(words, index, start) == slot & ~0xFFF:
                    branch = _branch_through(words, index)
                    if branch is None:
                        continue
                    if word & 0x3FF == _X16 << 5 | _X17:
                        targets.update(_entries_aarch64(words, index, start))
                    else:
                        sites.add(start + branch * _WORD)
    for start, code in _code(image):
        for index, word in enumerate(_words(code)):
            if word & 0x7C000000 == 0x14000000:
                distance = (word & 0x3FFFFFF ^ 0x2000000) - 0x2000000
                if start + (index + distance) * _WORD in targets:
                    sites.add(start + index * _WORD)
    return sites


def _entries_aarch64(words: array[int], load: int, start: int) -> set[int]:
    """Where a stub with this load may begin: with adrp, or with bti before it."""
    first = load - 1
    while _adrp_register(words[first]) != _X16:
        first -= 1
    entries = {start + first * _WORD}
    if first and words[first - 1] == _BTI_C:
        entries.add(start + (first - 1) * _WORD)
    return entries


def _page_of(words: array[int], load: int, start: int) -> int | None:
    """The page that adrp put into the register that a load uses, shortly before it."""
    register = words[load] >> 5 & 31
    for index in range(load - 1, max(-1, load - 1 - _NEAR), -1):
        if _adrp_register(words[index]) == register:
            return _page(words[index], start + index * _WORD)
    return None


def _branch_through(words: array[int], load: int) -> int | None:
    """The call or jump through the register that a load fills, shortly after it."""
    register = words[load] & 31
    for index in range(load + 1, min(len(words), load + 1 + _NEAR)):
        if words[index] & 0xFFDFFFFF == 0xD61F0000 | register << 5:  # br, blr
            return index
    return None


def _adrp_register(word: int) -> int | None:
    return word & 31 if word & 0x9F000000 == 0x90000000 else None


def _page(adrp: int, address: int) -> int:
    pages = (adrp >> 5 & 0x7FFFF) << 2 | adrp >> 29 & 3
    return (address & ~0xFFF) + (((pages ^ 0x100000) - 0x100000) << 12)


def _scaled_offset(load: int) -> int:
    return (load >> 10 & 0xFFF) << 3


def _words(code: bytes) -> array[int]:
    return array("I", code[: len(code) // _WORD * _WORD])
