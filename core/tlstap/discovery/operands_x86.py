"""Reads and writes the operands of x86-64 instructions, for symbolic execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capstone import x86

from tlstap.discovery.symbolic import (
    LANES,
    MASK,
    WORD,
    ZERO,
    Address,
    Number,
    State,
    Value,
    added,
    cut,
    moved,
)

if TYPE_CHECKING:
    from capstone import CsInsn as Instruction
    from capstone.x86 import X86Op as Operand

    Lanes = list[Value | None]


def _general_names() -> dict[str, tuple[str, int]]:
    """All names of general registers: the 64-bit name, and the size in bytes (0: the second byte)."""
    names: dict[str, tuple[str, int]] = {}
    for letter in "abcd":
        full = f"r{letter}x"
        names |= {full: (full, 8), f"e{letter}x": (full, 4), f"{letter}x": (full, 2)}
        names |= {f"{letter}l": (full, 1), f"{letter}h": (full, 0)}
    for name in ("si", "di", "bp", "sp"):
        names |= {f"r{name}": (f"r{name}", 8), f"e{name}": (f"r{name}", 4)}
        names |= {name: (f"r{name}", 2), f"{name}l": (f"r{name}", 1)}
    for number in range(8, 16):
        full = f"r{number}"
        names |= {full: (full, 8), f"{full}d": (full, 4), f"{full}w": (full, 2), f"{full}b": (full, 1)}
    return names


GENERAL = _general_names()
VECTORS = {
    f"{kind}mm{number}": (number, words)
    for kind, words in (("x", 2), ("y", 4), ("z", 8))
    for number in range(32)
}


class X86Operands:
    """Reads and writes the operands of one instruction at a time, by a state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.instruction: Instruction = None

    @property
    def vex(self) -> bool:
        """Whether the instruction has the three operands of AVX, and clears what it does not write."""
        return str(self.instruction.mnemonic).startswith("v")

    def name(self, register: int) -> str:
        """A register's name."""
        return str(self.instruction.reg_name(register))

    def sum(self, operand: Operand) -> Value | None:
        """What a memory operand's base, index and displacement add up to."""
        memory = operand.mem
        if memory.segment in (x86.X86_REG_FS, x86.X86_REG_GS):
            return None
        displacement = memory.disp
        if memory.base == x86.X86_REG_RIP:
            return Address(self.instruction.address + self.instruction.size + displacement & MASK)
        place: Value | None = ZERO if memory.base == 0 else self._register(memory.base, WORD)
        if memory.index not in (0, x86.X86_REG_RIZ):
            index = self._register(memory.index, WORD)
            if memory.scale != 1:
                index = Number(index.value * memory.scale & MASK) if isinstance(index, Number) else None
            place = added(place, index)
        return moved(place, displacement)

    def place(self, operand: Operand) -> Value | None:
        """Where a memory operand is."""
        return self.static(self.sum(operand))

    def static(self, value: Value | None) -> Value | None:
        """A number that is used as an address; it is one only in an image that is never moved."""
        return Address(value.value) if isinstance(value, Number) and self.state.constants.fixed else value

    def _register(self, register: int, size: int) -> Value | None:
        """The value of a general register of this size."""
        name, width = GENERAL.get(self.name(register), ("", 0))
        return cut(self.state.general.get(name), size) if width == size else None

    def read(self, operand: Operand) -> Value | None:
        """An operand of at most 8 bytes."""
        if operand.type == x86.X86_OP_IMM:
            return Number(operand.imm & MASK)
        if operand.size > WORD:
            return None
        if operand.type == x86.X86_OP_REG:
            return self._register(operand.reg, operand.size)
        return self.state.load(self.place(operand), operand.size)

    def write(self, operand: Operand, value: Value | None) -> bool:
        """Write a general register or memory; False if it is something else."""
        if operand.type == x86.X86_OP_MEM:
            self.state.store(self.place(operand), operand.size, cut(value, operand.size))
            return True
        name, width = GENERAL.get(self.name(operand.reg), ("", 0))
        if not name:
            return False
        self.state.set(name, cut(value, width) if width >= 4 else None)
        return True

    def vector_of(self, operand: Operand) -> tuple[int, int] | None:
        """(number, words) of a vector register."""
        return VECTORS.get(self.name(operand.reg)) if operand.type == x86.X86_OP_REG else None

    def lanes(self, operand: Operand, count: int) -> Lanes:
        """Words of a vector register or of memory."""
        register = self.vector_of(operand)
        if register is not None:
            return self.state.vector(register[0])[:count]
        if operand.type != x86.X86_OP_MEM:
            return [None] * count
        return self.state.load_words(self.place(operand), count)

    def set_lanes(self, operand: Operand, lanes: Lanes) -> bool:
        """Write the lowest words of a vector register; a `v` instruction clears the others."""
        register = self.vector_of(operand)
        if register is None:
            return False
        number = register[0]
        rest = [ZERO] * LANES if self.vex else self.state.vector(number)
        self.state.vectors[number] = [*lanes, *rest[len(lanes) :]]
        return True

    def sources(self, operands: list[Operand]) -> tuple[Operand, Operand]:
        """The two sources of `op a, b` or of `vop destination, a, b`."""
        return (operands[1], operands[2]) if self.vex else (operands[0], operands[1])
