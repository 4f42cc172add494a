"""The instructions of aarch64 for symbolic execution: those that compilers use to fill tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from capstone import arm64

from tlstap.discovery.straight_line import END, NEXT, Step
from tlstap.discovery.symbolic import (
    LANES,
    MASK,
    WORD,
    ZERO,
    Address,
    Number,
    Stack,
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

_ARGUMENTS = tuple(f"x{number}" for number in range(9))
_PRESERVED = frozenset({*(f"x{number}" for number in range(19, 30)), "sp"})

_CALLS = re.compile(r"bl(r(aaz?|abz?)?)?\Z")
_INDIRECT_JUMPS = re.compile(r"br(aaz?|abz?)?\Z")
_CONDITIONAL = re.compile(r"(b\.|cbn?z|tbn?z)")
_ENDS = frozenset({"ret", "retaa", "retab", "eret", "brk", "hlt", "udf"})
_READERS = frozenset(
    {"cmp", "cmn", "tst", "ccmp", "ccmn", "fcmp", "fcmpe", "fccmp", "fccmpe", "nop", "hint", "bti", "yield"}
    | {"paciasp", "pacibsp", "autiasp", "autibsp", "dmb", "dsb", "isb", "prfm", "prfum", "csdb"}
)
_ONLY_LOADS = re.compile(r"(ldr|ldu|ldp|ldnp|ldpsw|ldx|lda(x?r|pu?r|xp)|ldlar|ld[1-4])")
_LOADS = frozenset({"ldr", "ldur", "ldp", "ldnp"})
_STORES = frozenset({"str", "stur", "stp", "stnp", "strb", "sturb", "strh", "sturh"})
_NARROW_STORES = {"strb": 1, "sturb": 1, "strh": 2, "sturh": 2}
_VECTOR_SIZES = {"v": 16, "q": 16, "d": 8, "s": 4, "h": 2, "b": 1}
_WORDS_OF_VECTORS = (arm64.ARM64_VAS_2D,)
_LANES_OF_VECTORS = (arm64.ARM64_VAS_1D, 0)

_GENERAL = {f"x{number}": (f"x{number}", 8) for number in range(31)}
_GENERAL |= {f"w{number}": (f"x{number}", 4) for number in range(31)}
_GENERAL |= {"fp": ("x29", 8), "lr": ("x30", 8), "sp": ("sp", 8), "wsp": ("sp", 4)}
_ZEROS = {"xzr": 8, "wzr": 4}
_VECTORS = {
    f"{letter}{number}": (number, size) for letter, size in _VECTOR_SIZES.items() for number in range(32)
}


class Aarch64:
    """Executes instructions on a state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._instruction: Instruction = None
        self._handlers: dict[str, Callable[[list[Operand]], bool]] = {
            "mov": self._move,
            "fmov": self._move,
            "movz": self._move,
            "dup": self._duplicate,
            "movi": self._move_immediate,
            "movk": self._keep,
            "adr": self._address,
            "adrp": self._address,
            "add": self._add,
            "sub": self._add,
            "and": self._and,
            "eor": self._zero,
            "zip1": self._combine,
            "zip2": self._combine,
            "trn1": self._combine,
            "trn2": self._combine,
            "uzp1": self._combine,
            "uzp2": self._combine,
            "ext": self._combine,
            "ld1": self._load_vector,
            "ld1r": self._load_vector,
        }

    def step(self, instruction: Instruction) -> Step:
        """Execute an instruction."""
        self._instruction = instruction
        name: str = instruction.mnemonic
        operands = instruction.operands
        if _CALLS.match(name):
            target = self._branch_target(operands[0])
            self.state.call(_ARGUMENTS, _PRESERVED)
            return Step("call", target)
        if name == "b" or _INDIRECT_JUMPS.match(name):
            return Step("jump", self._branch_target(operands[0]))
        if name in _ENDS:
            return END
        if name in _READERS or _CONDITIONAL.match(name):
            return NEXT
        if name in ("svc", "hvc", "smc"):
            self.state.call(_ARGUMENTS, ())
            return END
        if not self._understood(name, operands):
            self._forget_what_is_written(name, operands)
        return NEXT

    def _understood(self, name: str, operands: list[Operand]) -> bool:
        if name in _LOADS:
            return self._load(operands)
        if name in _STORES:
            return self._store(name, operands)
        handler = self._handlers.get(name)
        return handler is not None and handler(operands)

    # Operands

    def _name(self, register: int) -> str:
        return str(self._instruction.reg_name(register))

    def _size(self, operand: Operand) -> int:
        """Bytes of a register."""
        name = self._name(operand.reg)
        for table in (_GENERAL, _VECTORS):
            if name in table:
                return table[name][1]
        return _ZEROS.get(name, 0)

    def _general(self, register: int) -> Value | None:
        """The value of a general register, if it is one of 8 bytes or a number."""
        name = self._name(register)
        if name in _ZEROS:
            return ZERO
        full, size = _GENERAL.get(name, ("", 0))
        return cut(self.state.general.get(full), size) if size else None

    def _vector(self, operand: Operand) -> int | None:
        """The number of a vector register."""
        if operand.type != arm64.ARM64_OP_REG:
            return None
        register = _VECTORS.get(self._name(operand.reg))
        return None if register is None else register[0]

    def _read(self, operand: Operand) -> Value | None:
        """A number, a general register, or a word of a vector (the lowest, unless it says which)."""
        if operand.type == arm64.ARM64_OP_IMM:
            return _shifted(Number(operand.imm & MASK), operand)
        if operand.type != arm64.ARM64_OP_REG:
            return None
        number = self._vector(operand)
        if number is None:
            return _shifted(self._general(operand.reg), operand)
        lane: int = max(operand.vector_index, 0)
        if self._size(operand) < WORD or lane > 1 or operand.vas not in _LANES_OF_VECTORS:
            return None
        return self.state.vector(number)[lane]

    def _write(self, operand: Operand, value: Value | None) -> bool:
        """Write a general register; False if it is something else."""
        name = self._name(operand.reg)
        if name in _GENERAL:
            full, size = _GENERAL[name]
            self.state.set(full, cut(value, size))
        return name in _GENERAL or name in _ZEROS

    def _set_lanes(self, number: int, lanes: Lanes) -> bool:
        self.state.vectors[number] = [*lanes, *[ZERO] * (LANES - len(lanes))]
        return True

    def _place(self, operand: Operand) -> Value | None:
        """The address that a memory operand means."""
        place = self._general(operand.mem.base)
        if operand.mem.index:
            if operand.ext and operand.ext != arm64.ARM64_EXT_SXTX:
                return None
            place = added(place, _shifted(self._general(operand.mem.index), operand))
        return self._static(moved(place, operand.mem.disp))

    def _static(self, place: Value | None) -> Value | None:
        if isinstance(place, Number) and self.state.constants.fixed:
            return Address(place.value)
        return place

    def _branch_target(self, operand: Operand) -> Value | None:
        if operand.type == arm64.ARM64_OP_IMM:
            return Address(operand.imm & MASK)
        return self._static(self._general(operand.reg))

    # Loads and stores

    def _memory(self, operands: list[Operand]) -> tuple[list[Operand], Value | None]:
        """(registers, address) of a load or store."""
        index = next(i for i, operand in enumerate(operands) if operand.type == arm64.ARM64_OP_MEM)
        return operands[:index], self._place(operands[index])

    def _write_back(self, operands: list[Operand]) -> None:
        """Move the base register, before (`[x, #n]!`) or after (`[x], #n`) the access."""
        if not self._instruction.writeback:
            return
        memory = next(operand for operand in operands if operand.type == arm64.ARM64_OP_MEM)
        distance = operands[-1].imm if operands[-1].type == arm64.ARM64_OP_IMM else memory.mem.disp
        full, _ = _GENERAL.get(self._name(memory.mem.base), ("", 0))
        self.state.set(full, moved(self.state.general.get(full), distance))

    def _load(self, operands: list[Operand]) -> bool:
        place: Value | None
        if operands[-1].type == arm64.ARM64_OP_IMM and len(operands) == 2:
            registers, place = operands[:1], Address(operands[1].imm & MASK)
        else:
            registers, place = self._memory(operands)
        values: list[tuple[Operand, Lanes]] = []
        for register in registers:
            size = self._size(register)
            if size < WORD:
                values.append((register, [self.state.load(place, size) if size == 4 else None]))
            else:
                values.append((register, self.state.load_words(place, size // WORD)))
            place = moved(place, size)
        self._write_back(operands)
        for register, words in values:
            number = self._vector(register)
            if number is not None:
                self._set_lanes(number, words if self._size(register) >= WORD else [None])
            else:
                self._write(register, words[0])
        return True

    def _store(self, name: str, operands: list[Operand]) -> bool:
        registers, place = self._memory(operands)
        for register in registers:
            size = _NARROW_STORES.get(name) or self._size(register)
            number = self._vector(register)
            words = [self._general(register.reg)] if number is None else self.state.vector(number)
            if size > WORD:
                self.state.store_words(place, words[: size // WORD])
            else:
                self.state.store(place, size, cut(words[0], size))
            place = moved(place, size)
        self._write_back(operands)
        return True

    def _load_vector(self, operands: list[Operand]) -> bool:
        """One word into one or both halves of a vector."""
        number = self._vector(operands[0])
        if len(operands) != 2 or number is None or self._instruction.writeback:
            return False
        value = self.state.load(self._place(operands[1]), WORD)
        lane = operands[0].vector_index
        if self._instruction.mnemonic == "ld1r":
            return operands[0].vas in _WORDS_OF_VECTORS and self._set_lanes(number, [value, value])
        if operands[0].vas != arm64.ARM64_VAS_1D or lane not in (0, 1):
            return False
        return self._set_lane(number, lane, value)

    def _set_lane(self, number: int, lane: int, value: Value | None) -> bool:
        lanes = self.state.vector(number)[:2]
        lanes[lane] = value
        return self._set_lanes(number, lanes)

    # Registers

    def _move(self, operands: list[Operand]) -> bool:
        target, source = operands
        number = self._vector(target)
        if number is None:
            return self._write(target, self._read(source))
        from_vector = self._vector(source)
        if target.vector_index >= 0:
            lane_of_word = target.vas in _LANES_OF_VECTORS and target.vector_index <= 1
            return lane_of_word and self._set_lane(number, target.vector_index, self._read(source))
        if self._size(target) == WORD:
            return self._set_lanes(number, [self._read(source)])
        if from_vector is not None and source.vector_index < 0 and source.vas == arm64.ARM64_VAS_16B:
            return self._set_lanes(number, self.state.vector(from_vector)[:2])
        return False

    def _duplicate(self, operands: list[Operand]) -> bool:
        number = self._vector(operands[0])
        if number is None or operands[0].vas not in _WORDS_OF_VECTORS:
            return False
        value = self._read(operands[1])
        return self._set_lanes(number, [value, value])

    def _move_immediate(self, operands: list[Operand]) -> bool:
        """Only zero, which is the same for all arrangements."""
        number = self._vector(operands[0])
        return number is not None and operands[1].imm == 0 and self._set_lanes(number, [ZERO, ZERO])

    def _keep(self, operands: list[Operand]) -> bool:
        target, part = operands
        value, shift = self._read(target), part.shift.value
        if not isinstance(value, Number):
            return self._write(target, None)
        return self._write(target, Number(value.value & ~(0xFFFF << shift) & MASK | part.imm << shift & MASK))

    def _address(self, operands: list[Operand]) -> bool:
        return self._write(operands[0], Address(operands[1].imm & MASK))

    def _add(self, operands: list[Operand]) -> bool:
        target, one, other = operands
        if any(self._vector(operand) is not None for operand in operands) or other.ext:
            return False
        value, change = self._read(one), self._read(other)
        if self._instruction.mnemonic == "sub":
            change = Number(-change.value & MASK) if isinstance(change, Number) else None
        return self._write(target, added(value, change))

    def _and(self, operands: list[Operand]) -> bool:
        target, one, mask = operands
        if self._name(target.reg) == "sp" and isinstance(self._read(one), Stack):
            self.state.align_stack()
            return True
        value, bits = self._read(one), self._read(mask)
        if not isinstance(value, Number) or not isinstance(bits, Number):
            return False
        return self._write(target, Number(value.value & bits.value))

    def _zero(self, operands: list[Operand]) -> bool:
        target, one, other = operands
        if other.type != arm64.ARM64_OP_REG or one.reg != other.reg or other.shift.type:
            return False
        number = self._vector(target)
        return self._write(target, ZERO) if number is None else self._set_lanes(number, [ZERO, ZERO])

    def _combine(self, operands: list[Operand]) -> bool:
        """One word of each of two vectors."""
        numbers = [self._vector(operand) for operand in operands[:3]]
        name = str(self._instruction.mnemonic)
        whole = arm64.ARM64_VAS_16B if name == "ext" else arm64.ARM64_VAS_2D
        target, first, second = numbers
        if target is None or first is None or second is None or operands[0].vas != whole:
            return False
        one, other = self.state.vector(first), self.state.vector(second)
        lanes: Lanes
        if name == "ext":
            lanes = [one[1], other[0]] if operands[3].imm == WORD else [None, None]
        else:
            lane = int(name.endswith("2"))
            lanes = [one[lane], other[lane]]
        return self._set_lanes(target, lanes)

    # What is not understood

    def _forget_what_is_written(self, name: str, operands: list[Operand]) -> None:
        """All registers that are named: capstone does not always know which of them are written."""
        for operand in operands:
            if operand.type == arm64.ARM64_OP_MEM:
                if not _ONLY_LOADS.match(name):
                    self.state.forget(self._place(operand), None)
                self._forget_register(self._name(operand.mem.base))
            elif operand.type == arm64.ARM64_OP_REG:
                self._forget_register(self._name(operand.reg))
        for register in self._instruction.regs_access()[1]:
            self._forget_register(self._name(register))

    def _forget_register(self, name: str) -> None:
        if name in _GENERAL:
            self.state.set(_GENERAL[name][0], None)
        elif name in _VECTORS:
            self.state.vectors.pop(_VECTORS[name][0], None)


def _shifted(value: Value | None, operand: Operand) -> Value | None:
    """The value as the operand's shift makes it; only shifts to the left are known."""
    if operand.shift.type == 0 or operand.shift.value == 0:
        return value
    if operand.shift.type != arm64.ARM64_SFT_LSL or not isinstance(value, Number):
        return None
    return Number(value.value << operand.shift.value & MASK)
