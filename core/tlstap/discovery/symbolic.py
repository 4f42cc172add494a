"""What symbolic execution knows: values, the memory that holds them, and the registers of a thread.

Whatever is not known is None. Addresses are told from numbers, so that a number that happens to look like
an address is never taken for one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from elftools.elf.constants import P_FLAGS

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.relocations import Relocations

WORD = 8
LANES = 8
"""Words of the widest vector register."""
MASK = (1 << 64) - 1
_FEW = 64
"""Bytes that are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number, 0 <= value < 2**64. In an image that is never moved, it may be an address."""

    value: int


@dataclass(frozen=True, slots=True)
class Address:
    """A link-time address in the image."""

    value: int


@dataclass(frozen=True, slots=True)
class SymbolAddress:
    """The address of a dynamic symbol, which only the loader knows."""

    name: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A place in the thread's stack: bytes from where the stack pointer was at first.

    Where code aligns the stack pointer, the distance to what was before is lost: a new region begins.
    """

    region: int
    offset: int


Value = Number | Address | SymbolAddress | Stack

ZERO = Number(0)

# Functions that write `size` bytes at `place` and nothing else, and return `place`: (place, ..., size).
_FILL_MEMORY = frozenset({"memcpy", "memmove", "memset", "__memcpy_chk", "__memmove_chk", "__memset_chk"})


def moved(value: Value | None, distance: int) -> Value | None:
    """The value plus a number."""
    if isinstance(value, Stack):
        return Stack(value.region, value.offset + distance)
    if isinstance(value, Number | Address):
        return type(value)(value.value + distance & MASK)
    return value if distance == 0 else None


def added(one: Value | None, other: Value | None) -> Value | None:
    """The sum; at most one of the two can be an address."""
    if isinstance(other, Number):
        return moved(one, _signed(other.value))
    return moved(other, _signed(one.value)) if isinstance(one, Number) else None


def cut(value: Value | None, size: int) -> Value | None:
    """The lowest `size` bytes of a value; half an address is nothing."""
    if size >= WORD:
        return value
    return Number(value.value & (1 << size * 8) - 1) if isinstance(value, Number) else None


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


class Memory:
    """Values by address and size: 1, 2, 4 or 8 bytes each."""

    def __init__(self) -> None:
        self.cells: dict[int, tuple[int, Value]] = {}

    def store(self, address: int, size: int, value: Value) -> None:
        """Store a value; what it overlaps is forgotten."""
        self.forget(address, size)
        self.cells[address] = size, value

    def load(self, address: int, size: int) -> Value | None:
        """What was stored there, or a part of it."""
        for start in range(address, address - WORD, -1):
            cell = self.cells.get(start)
            if cell is None:
                continue
            if start == address and cell[0] == size:
                return cell[1]
            if isinstance(cell[1], Number) and address + size <= start + cell[0]:
                return cut(Number(cell[1].value >> (address - start) * 8), size)
            return None
        return None

    def forget(self, address: int, size: int) -> None:
        """Everything that overlaps with these bytes."""
        if size > _FEW:
            self.cells = {
                start: cell
                for start, cell in self.cells.items()
                if start >= address + size or start + cell[0] <= address
            }
            return
        for start in range(address - WORD + 1, address + size):
            cell = self.cells.get(start)
            if cell is not None and start + cell[0] > address:
                del self.cells[start]

    def forget_all(self) -> None:
        """Everything."""
        self.cells.clear()

    def forget_below(self, address: int) -> None:
        """Everything at lower addresses."""
        self.cells = {start: cell for start, cell in self.cells.items() if start >= address}


class Constants:
    """What the image holds where nothing writes once it is loaded."""

    def __init__(self, image: ElfImage, relocations: Relocations) -> None:
        self._image = image
        self._relocations = relocations
        self._places = sorted(relocations.all_places)
        self._read_only = [
            (segment.address, segment.address + segment.file_size)
            for segment in image.segments
            if segment.type == "PT_GNU_RELRO"
            or (segment.type == "PT_LOAD" and not segment.flags & P_FLAGS.PF_W)
        ]
        self.fixed = image.type == "executable"
        """Whether numbers can be addresses, since the image is never moved."""

    def load(self, address: int, size: int) -> Value | None:
        """A value of at most 8 bytes, as the loader leaves it there."""
        read_only = any(start <= address and address + size <= end for start, end in self._read_only)
        if size == WORD and (address in self._relocations.got or read_only):
            name = self._relocations.slots.get(address)
            if name is not None:
                return SymbolAddress(name)
        if not read_only:
            return None
        if size == WORD and address in self._relocations.relative:
            return Address(self._relocations.relative[address] & MASK)
        after = bisect_right(self._places, address + size - 1)
        if after and self._places[after - 1] > address - WORD:
            return None
        content = self._image.read(address, size)
        return Number(int.from_bytes(content, "little")) if len(content) == size else None


class Convention(NamedTuple):
    """How functions of the platform call each other: names of 64-bit registers."""

    stack_pointer: str
    arguments: tuple[str, ...]
    result: str
    preserved: frozenset[str]


@dataclass
class State:
    """A thread's registers and memory.

    `stored`: what the code has stored at addresses of the image. `known`: the same, as long as nothing else
    can have written there.
    """

    constants: Constants
    convention: Convention
    general: dict[str, Value] = field(default_factory=dict)
    vectors: dict[int, list[Value | None]] = field(default_factory=dict)
    stored: Memory = field(default_factory=Memory)
    known: Memory = field(default_factory=Memory)
    stacks: list[Memory] = field(default_factory=lambda: [Memory()])
    stack_escaped: bool = False
    """Whether others may know where the stack is, and write there."""

    def __post_init__(self) -> None:
        self.stack_pointer = self.convention.stack_pointer
        self.general[self.stack_pointer] = Stack(0, 0)

    def set(self, register: str, value: Value | None) -> None:
        """Put a value into a general register, by its 64-bit name."""
        if value is not None:
            self.general[register] = value
            return
        self.general.pop(register, None)
        if register == self.stack_pointer:
            self.stack_escaped = True
            self._anything_stored()

    def vector(self, number: int) -> list[Value | None]:
        """The words of a vector register, the lowest first; a copy."""
        return list(self.vectors.get(number, ())) or [None] * LANES

    def push(self, value: Value | None) -> None:
        """Put 8 bytes on the stack."""
        top = moved(self.general.get(self.stack_pointer), -WORD)
        self.set(self.stack_pointer, top)
        self.store(top, WORD, value)

    def pop(self) -> Value | None:
        """Take 8 bytes from the stack."""
        top = self.general.get(self.stack_pointer)
        self.set(self.stack_pointer, moved(top, WORD))
        return self.load(top, WORD)

    def load(self, place: Value | None, size: int) -> Value | None:
        """What memory holds at a place: at most 8 bytes."""
        if isinstance(place, Stack):
            return self.stacks[place.region].load(place.offset, size)
        if isinstance(place, Address):
            value = self.known.load(place.value, size)
            return value if value is not None else self.constants.load(place.value, size)
        return None

    def store(self, place: Value | None, size: int, value: Value | None) -> None:
        """Store at most 8 bytes."""
        if isinstance(value, Stack):
            self.stack_escaped = True
        self.forget(place, size)
        if value is None:
            return
        if isinstance(place, Stack):
            self.stacks[place.region].store(place.offset, size, value)
        elif isinstance(place, Address):
            self.stored.store(place.value, size, value)
            self.known.store(place.value, size, value)

    def load_words(self, place: Value | None, count: int) -> list[Value | None]:
        """Words from a place on."""
        return [self.load(moved(place, WORD * index), WORD) for index in range(count)]

    def store_words(self, place: Value | None, words: Sequence[Value | None]) -> None:
        """Store words from a place on."""
        for index, word in enumerate(words):
            self.store(moved(place, WORD * index), WORD, word)

    def forget(self, place: Value | None, size: int | None) -> None:
        """Something unknown was stored; without a size, nobody knows how far."""
        if isinstance(place, Stack):
            stack = self.stacks[place.region]
            stack.forget(place.offset, size) if size is not None else stack.forget_all()
        elif isinstance(place, Address):
            for memory in (self.stored, self.known):
                memory.forget(place.value, size) if size is not None else memory.forget_all()
        else:
            self._anything_stored()

    def align_stack(self) -> None:
        """The stack pointer was rounded down."""
        self.stacks.append(Memory())
        self.set(self.stack_pointer, Stack(len(self.stacks) - 1, 0))

    def call(self, name: str | None) -> None:
        """Another function runs, of this name if that is known.

        It keeps the registers that it must keep, and may write wherever others know of.
        """
        arguments = [self.general.get(register) for register in self.convention.arguments]
        if any(isinstance(value, Stack) for value in arguments):
            self.stack_escaped = True
        kept = self.convention.preserved
        self.general = {register: value for register, value in self.general.items() if register in kept}
        self.vectors.clear()
        top = self.general.get(self.stack_pointer)
        if isinstance(top, Stack):
            self.stacks[top.region].forget_below(top.offset)
        if name in _FILL_MEMORY:
            place, _, size = arguments[:3]
            self.forget(place, size.value if isinstance(size, Number) else None)
            self.set(self.convention.result, place)
        else:
            self._anything_stored()

    def _anything_stored(self) -> None:
        self.known.forget_all()
        if self.stack_escaped:
            for stack in self.stacks:
                stack.forget_all()
