"""Finds what refers to an address, in all of an image's code at once, without disassembling it.

On x86-64 every position of the code is taken for a 32-bit displacement, and those that lead to a wanted
address are looked at; on aarch64 every word is looked at as a branch or as the first half of an address.
numpy does this at about a gigabyte a second, in pieces, so that memory stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tlstap.discovery.elf_parts import MAX_LOOKED_THROUGH

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

MAX_REFERENCES = 100_000
"""More than so many in one search are not looked for: no library is referred to so often."""

_PIECE = 256 << 10
_OVERLAP = 64
"""Bytes of the following piece that an instruction, or the second half of an address, may reach into."""
_LEADING = 3
"""x86-64: bytes of an instruction before its displacement, at most."""
_MASK32 = 0xFFFFFFFF
_NEAR_WORDS = 12
"""aarch64: words behind adrp in which the add that completes its address is looked for."""

Kind = Literal["address", "call", "jump"]
Progress = Callable[[int], None]
"""Told how many bytes of code have been looked at since the last time."""


class Reference(NamedTuple):
    """An instruction at `address` that calls `target`, jumps to it, or makes its address."""

    address: int
    target: int
    kind: Kind


def code_references(
    image: ElfImage, wanted: Sequence[range], progress: Progress = lambda size: None
) -> list[Reference]:
    """The instructions that refer to an address in one of the wanted ranges, sorted by their own address.

    Instructions are recognised by their encoding where they stand, so a few may be none: parts of others, or
    data. Conditional jumps of aarch64, which stay near, are not among them.

    :raise ElfError: if there are too many, or the image is malformed.
    """
    finder = (_X86 if image.machine == "x86_64" else _Aarch64)(image)
    found: set[Reference] = set()
    for address, piece, size in _pieces(image):
        found.update(finder.find(address, piece, wanted))
        if len(found) > MAX_REFERENCES:
            raise image.error(f"more than {MAX_REFERENCES} references to the same code or data")
        progress(size)
    return sorted(found)


def code_size(image: ElfImage) -> int:
    """Bytes of code that `code_references` looks through."""
    return sum(segment.file_size for segment in image.executable_segments())


def _pieces(image: ElfImage) -> Iterator[tuple[int, bytes, int]]:
    """(address, content with the beginning of the next piece, size without that)."""
    if code_size(image) > 2 * image.size:
        raise image.error("the executable segments add up to more than the file holds")
    if code_size(image) > MAX_LOOKED_THROUGH:
        raise image.error(f"{code_size(image)} bytes of code are too many to be looked through")
    for segment in image.executable_segments():
        start = 0
        while start < segment.file_size:
            data = image.next_data(segment.offset + start) - segment.offset
            start = max(start, min(data, segment.file_size) // _PIECE * _PIECE)  # over holes
            if start >= segment.file_size or data >= segment.file_size:
                break
            length = min(_PIECE + _OVERLAP, segment.file_size - start)
            piece = image.pread(segment.offset + start, length, "code")
            yield segment.address + start, piece, min(_PIECE, length)
            start += _PIECE


# x86-64


class _X86:
    """Buffers are made once: fresh ones of this size cost more than the arithmetic."""

    def __init__(self, image: ElfImage) -> None:
        import numpy as np

        self._image = image
        count = (_PIECE + _OVERLAP) // 4
        self._steps = np.arange(count, dtype=np.uint32) * np.uint32(4)
        self._reached = np.empty(count, dtype=np.uint32)
        self._distances = np.empty(count, dtype=np.uint32)
        self._hits = np.empty(count, dtype=np.bool_)

    def find(self, start: int, code: bytes, wanted: Sequence[range]) -> Iterator[Reference]:
        import numpy as np

        for phase in range(min(4, len(code) - 3)):
            words = np.frombuffer(code, dtype="<u4", count=(len(code) - phase) // 4, offset=phase)
            reached = self._reached[: len(words)]
            np.add(words, self._steps[: len(words)], out=reached)
            first = start + phase
            for span in wanted:
                # A displacement leads into the span if the distance to its start is less than its length.
                for index in self._within(reached, span.start - first - 4, len(span)):
                    position = first + 4 * index
                    target = position + 4 + ((int(words[index]) ^ 0x80000000) - 0x80000000)
                    if target in span:
                        yield from _displacement(self._before(code, start, position), position, target)
                if self._image.type == "executable" and span.stop <= 1 << 31:
                    for index in self._within(words, span.start, len(span)):
                        position = first + 4 * index
                        before = self._before(code, start, position)
                        yield from _immediate(before, position, int(words[index]))

    def _within(self, numbers: Any, base: int, length: int) -> list[int]:
        """Indices of the numbers that are at least the base, by less than a length, modulo 2**32."""
        import numpy as np

        distances, hits = self._distances[: len(numbers)], self._hits[: len(numbers)]
        np.subtract(numbers, np.uint32(base & _MASK32), out=distances)
        np.less(distances, np.uint32(min(length, _MASK32)), out=hits)
        return np.flatnonzero(hits).tolist() if hits.any() else []

    def _before(self, code: bytes, start: int, position: int) -> bytes:
        """The three bytes before a position in a piece of code; NUL where the segment has none."""
        if position - start >= _LEADING:
            return code[position - start - _LEADING : position - start]
        if not self._image.is_code(position - _LEADING):
            return bytes(_LEADING)
        return self._image.read(position - _LEADING, _LEADING).rjust(_LEADING, b"\0")


def _displacement(before: bytes, position: int, target: int) -> Iterator[Reference]:
    """The instruction that ends in a displacement at this position, if there is one."""
    if before[1:2] == b"\x8d" and before[0] & 0xF8 == 0x48 and before[2] & 0xC7 == 0x05:
        yield Reference(position - 3, target, "address")
    elif before[2:] == b"\xe8":
        yield Reference(position - 1, target, "call")
    elif before[2:] == b"\xe9":
        yield Reference(position - 1, target, "jump")
    elif before[1:2] == b"\x0f" and before[2] & 0xF0 == 0x80:
        yield Reference(position - 2, target, "jump")


def _immediate(before: bytes, position: int, target: int) -> Iterator[Reference]:
    """In a program that is never moved: mov r32, imm32; push imm32; mov r64, imm32."""
    last = before[2]
    if 0xB8 <= last <= 0xBF:
        prefixed = before[1] == 0x41
        yield Reference(position - 1 - prefixed, target, "address")
    elif last == 0x68:
        yield Reference(position - 1, target, "address")
    elif before[1] == 0xC7 and 0xC0 <= last <= 0xC7:
        prefixed = before[0] & 0xF0 == 0x40
        yield Reference(position - 2 - prefixed, target, "address")


# aarch64


class _Aarch64:
    def __init__(self, image: ElfImage) -> None:
        pass

    def find(self, start: int, code: bytes, wanted: Sequence[range]) -> Iterator[Reference]:
        import numpy as np

        words = np.frombuffer(code, dtype="<u4", count=len(code) // 4)
        branches = np.flatnonzero((words & np.uint32(0x7C000000)) == np.uint32(0x14000000))
        targets = _branch_targets(words[branches], branches * 4 + start)
        makers = np.flatnonzero((words & np.uint32(0x1F000000)) == np.uint32(0x10000000))
        made = _made_addresses(words[makers], makers * 4 + start)
        for span in wanted:
            hits = np.flatnonzero((targets >= span.start) & (targets < span.stop)).tolist()
            for index, target in zip(branches[hits].tolist(), targets[hits].tolist(), strict=True):
                kind: Kind = "call" if int(words[index]) >> 31 else "jump"
                yield Reference(start + 4 * index, target, kind)
            hits = np.flatnonzero((made >= span.start & ~0xFFF) & (made < span.stop)).tolist()
            for index, address in zip(makers[hits].tolist(), made[hits].tolist(), strict=True):
                complete = _completed(words[index : index + _NEAR_WORDS + 1].tolist(), address)
                if complete is not None and complete in span:
                    yield Reference(start + 4 * index, complete, "address")


def _branch_targets(words: Any, places: Any) -> Any:
    """Where `b` and `bl` lead."""
    import numpy as np

    return ((words << np.uint32(6)).view(np.int32) >> 4).astype(np.int64) + places


def _made_addresses(words: Any, places: Any) -> Any:
    """The address that adr makes, or the page that adrp makes."""
    import numpy as np

    is_page = words >> np.uint32(31) == 1
    high = ((words << np.uint32(8)).view(np.int32) >> 13).astype(np.int64) << 2
    distances = high | (words >> np.uint32(29) & np.uint32(3)).astype(np.int64)
    return np.where(is_page, (places & ~np.int64(0xFFF)) + (distances << 12), places + distances)


def _completed(words: list[int], address: int) -> int | None:
    """The address that an adr (the first of the words) makes; of adrp, with the `add` shortly behind it."""
    if not words[0] >> 31:
        return address
    register = words[0] & 31
    for word in words[1:]:
        if word & 0xFFC00000 == 0x91000000 and word >> 5 & 31 == register:
            return address + (word >> 10 & 0xFFF)
    return None
