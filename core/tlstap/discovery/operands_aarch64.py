"""Reads and writes the operands of aarch64 instructions, for symbolic execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capstone import arm64

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
    from capstone.arm64 import Arm64Op as Operand

    Lanes = list[Value | None]

ONE_WORD = (arm64.ARM64_VAS_1D, 0)
"""How capstone marks `v0.d[1]`; it leaves the mark out in some instructions, but not for smaller elements."""

# How large the registers of SVE are is not known.
_VECTOR_SIZES = {"v": 16, "q": 16, "d": 8, "s": 4, "h": 2, "b": 1, "z": 0}
GENERAL = {f"x{number}": (f"x{number}", 8) for number in range(31)}
GENERAL |= {f"w{number}": (f"x{number}", 4) for number in range(31)}
GENERAL |= {"fp": ("x29", 8), "lr": ("x30", 8), "sp": ("sp", 8), "wsp": ("sp", 4)}
ZEROS = {"xzr": 8, "wzr": 4}
VECTORS = {
    f"{letter}{number}": (number, size) for letter, size in _VECTOR_SIZES.items() for number in range(32)
}


class Aarch64Operands:
    """Reads and writes the operands of one instruction at a time, by a state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.instruction: Instruction = None

    def name(self, register: int) -> str:
        """A register's name; vector registers have several."""
        return str(self.instruction.reg_name(register))

    def size(self, operand: Operand) -> int:
        """Bytes of a register; 0 if that is not known."""
        name = self.name(operand.reg)
        for table in (GENERAL, VECTORS):
            if name in table:
                return table[name][1]
        return ZEROS.get(name, 0)

    def general(self, register: int) -> Value | None:
        """The value of a general register, if it is one of 8 bytes or a number."""
        name = self.name(register)
        if name in ZEROS:
            return ZERO
        full, size = GENERAL.get(name, ("", 0))
        return cut(self.state.general.get(full), size) if size else None

    def vector(self, operand: Operand) -> int | None:
        """The number of a vector register."""
        if operand.type != arm64.ARM64_OP_REG:
            return None
        register = VECTORS.get(self.name(operand.reg))
        return None if register is None else register[0]

    def read(self, operand: Operand) -> Value | None:
        """A number, a general register, or a word of a vector (the lowest, unless it says which)."""
        if operand.type == arm64.ARM64_OP_IMM:
            return _shifted(Number(operand.imm & MASK), operand)
        if operand.type != arm64.ARM64_OP_REG:
            return None
        number = self.vector(operand)
        if number is None:
            return _shifted(self.general(operand.reg), operand)
        lane: int = max(operand.vector_index, 0)
        if self.size(operand) < WORD or lane > 1 or operand.vas not in ONE_WORD:
            return None
        return self.state.vector(number)[lane]

    def write(self, operand: Operand, value: Value | None) -> bool:
        """Write a general register; False if it is something else."""
        name = self.name(operand.reg)
        if name in GENERAL:
            full, size = GENERAL[name]
            self.state.set(full, cut(value, size))
        return name in GENERAL or name in ZEROS

    def set_lanes(self, number: int, lanes: Lanes) -> bool:
        """Write the lowest words of a vector register and clear the others; always True."""
        self.state.vectors[number] = [*lanes, *[ZERO] * (LANES - len(lanes))]
        return True

    def place(self, operand: Operand) -> Value | None:
        """Where a memory operand is, before the base register is moved by `[x], #n`."""
        place = self.general(operand.mem.base)
        if operand.mem.index:
            if operand.ext and operand.ext != arm64.ARM64_EXT_SXTX:
                return None
            place = added(place, _shifted(self.general(operand.mem.index), operand))
        return self.static(moved(place, operand.mem.disp))

    def static(self, value: Value | None) -> Value | None:
        """A number that is used as an address; it is one only in an image that is never moved."""
        return Address(value.value) if isinstance(value, Number) and self.state.constants.fixed else value


def _shifted(value: Value | None, operand: Operand) -> Value | None:
    """The value as the operand's shift makes it; only shifts to the left are known."""
    if operand.shift.type == 0 or operand.shift.value == 0:
        return value
    if operand.shift.type != arm64.ARM64_SFT_LSL or not isinstance(value, Number):
        return None
    return Number(value.value << operand.shift.value & MASK)
