"""The instructions of aarch64 for symbolic execution: those that compilers use to fill tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import capstone
from capstone import arm64

from tlstap.discovery.operands_aarch64 import GENERAL, ONE_WORD, VECTORS, Aarch64Operands
from tlstap.discovery.straight_line import END, NEXT, Step
from tlstap.discovery.symbolic import (
    MASK,
    WORD,
    ZERO,
    Address,
    Convention,
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

CONVENTION = Convention(
    stack_pointer="sp",
    arguments=tuple(f"x{number}" for number in range(9)),
    result="x0",
    preserved=frozenset({*(f"x{number}" for number in range(19, 30)), "sp"}),
)

_CALLS = re.compile(r"bl(r(aaz?|abz?)?)?\Z")
_INDIRECT_JUMPS = re.compile(r"br(aaz?|abz?)?\Z")
_CONDITIONAL = re.compile(r"(b\.|cbn?z|tbn?z)")
_ENDS = frozenset({"ret", "retaa", "retab", "eret", "brk", "hlt", "udf", "hvc", "smc"})
_READERS = frozenset(
    {"cmp", "cmn", "tst", "ccmp", "ccmn", "fcmp", "fcmpe", "fccmp", "fccmpe", "nop", "hint", "bti", "yield"}
    | {"paciasp", "pacibsp", "autiasp", "autibsp", "dmb", "dsb", "isb", "prfm", "prfum", "csdb"}
)
_ONLY_LOADS = re.compile(r"(ldr|ldur|ldp|ldnp|ldpsw|ldx|lda(x?r|pu?r|xp)|ldlar|ld[1-4])")
_LOADS = frozenset({"ldr", "ldur", "ldp", "ldnp"})
_STORES = frozenset({"str", "stur", "stp", "stnp", "strb", "sturb", "strh", "sturh"})
_NARROW_STORES = {"strb": 1, "sturb": 1, "strh": 2, "sturh": 2}


class Aarch64(Aarch64Operands):
    """Executes instructions on a state."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        # With the number of operands: SVE has instructions of the same names and other forms.
        self._handlers: dict[str, tuple[int, Callable[[list[Operand]], bool]]] = {
            "mov": (2, self._move),
            "fmov": (2, self._move),
            "movz": (2, self._move),
            "dup": (2, self._duplicate),
            "movi": (2, self._move_immediate),
            "movk": (2, self._keep),
            "adr": (2, self._address),
            "adrp": (2, self._address),
            "add": (3, self._add),
            "sub": (3, self._add),
            "and": (3, self._and),
            "eor": (3, self._zero),
            "zip1": (3, self._combine),
            "zip2": (3, self._combine),
            "trn1": (3, self._combine),
            "trn2": (3, self._combine),
            "uzp1": (3, self._combine),
            "uzp2": (3, self._combine),
            "ext": (4, self._combine),
            "ld1": (2, self._load_vector),
            "ld1r": (2, self._load_vector),
        }

    def step(self, instruction: Instruction) -> Step:
        """Execute an instruction."""
        self.instruction = instruction
        name: str = instruction.mnemonic
        operands = instruction.operands
        if _CALLS.match(name):
            return Step("call", self._branch_target(operands[0]))
        if name == "b" or _INDIRECT_JUMPS.match(name):
            return Step("jump", self._branch_target(operands[0]))
        if name in _ENDS:
            return END
        if name in _READERS or _CONDITIONAL.match(name):
            return NEXT
        if name == "svc":
            self.state.forget(None, None)
            self.state.set("x0", None)
            return NEXT
        if not self._understood(name, operands):
            self._forget_what_is_written(name, operands)
        return NEXT

    def _understood(self, name: str, operands: list[Operand]) -> bool:
        if name in _LOADS:
            return self._load(operands)
        if name in _STORES:
            return self._store(name, operands)
        count, handler = self._handlers.get(name, (0, None))
        return handler is not None and len(operands) == count and handler(operands)

    def _branch_target(self, operand: Operand) -> Value | None:
        if operand.type == arm64.ARM64_OP_IMM:
            return Address(operand.imm & MASK)
        return self.static(self.general(operand.reg))

    # Loads and stores

    def _registers(self, operands: list[Operand]) -> list[Operand]:
        """What a load fills or a store takes: none if it is not understood."""
        registers = [operand for operand in operands if operand.type == arm64.ARM64_OP_REG]
        return registers if all(self.size(register) for register in registers) else []

    def _memory(self, operands: list[Operand]) -> Operand | None:
        return next((operand for operand in operands if operand.type == arm64.ARM64_OP_MEM), None)

    def _write_back(self, operands: list[Operand]) -> None:
        """Move the base register, before (`[x, #n]!`) or after (`[x], #n`) the access."""
        memory = self._memory(operands)
        if memory is None or not self.instruction.writeback:
            return
        distance = operands[-1].imm if operands[-1].type == arm64.ARM64_OP_IMM else memory.mem.disp
        full, _ = GENERAL.get(self.name(memory.mem.base), ("", 0))
        self.state.set(full, moved(self.state.general.get(full), distance))

    def _load(self, operands: list[Operand]) -> bool:
        registers, memory = self._registers(operands), self._memory(operands)
        place: Value | None
        if memory is not None:
            place = self.place(memory)
        elif operands[-1].type == arm64.ARM64_OP_IMM:  # at a distance from here
            place = Address(operands[-1].imm & MASK)
        else:
            return False
        values: list[tuple[Operand, Lanes]] = []
        for register in registers:
            size = self.size(register)
            if size < WORD:
                values.append((register, [self.state.load(place, size) if size == 4 else None]))
            else:
                values.append((register, self.state.load_words(place, size // WORD)))
            place = moved(place, size)
        self._write_back(operands)
        for register, words in values:
            number = self.vector(register)
            if number is not None:
                self.set_lanes(number, words if self.size(register) >= WORD else [None])
            else:
                self.write(register, words[0])
        return bool(registers)

    def _store(self, name: str, operands: list[Operand]) -> bool:
        registers, memory = self._registers(operands), self._memory(operands)
        if memory is None or not registers:
            return False
        place = self.place(memory)
        for register in registers:
            size = _NARROW_STORES.get(name) or self.size(register)
            number = self.vector(register)
            words = [self.general(register.reg)] if number is None else self.state.vector(number)
            if size > WORD:
                self.state.store_words(place, words[: size // WORD])
            else:
                self.state.store(place, size, cut(words[0], size))
            place = moved(place, size)
        self._write_back(operands)
        return True

    def _load_vector(self, operands: list[Operand]) -> bool:
        """One word into one or both halves of a vector."""
        number = self.vector(operands[0])
        if number is None or operands[1].type != arm64.ARM64_OP_MEM or self.instruction.writeback:
            return False
        value = self.state.load(self.place(operands[1]), WORD)
        lane = operands[0].vector_index
        if self.instruction.mnemonic == "ld1r":
            return operands[0].vas == arm64.ARM64_VAS_2D and self.set_lanes(number, [value, value])
        if operands[0].vas != arm64.ARM64_VAS_1D or lane not in (0, 1):
            return False
        return self._set_lane(number, lane, value)

    def _set_lane(self, number: int, lane: int, value: Value | None) -> bool:
        lanes = self.state.vector(number)[:2]
        lanes[lane] = value
        return self.set_lanes(number, lanes)

    # Registers

    def _move(self, operands: list[Operand]) -> bool:
        target, source = operands
        number = self.vector(target)
        if number is None:
            return self.write(target, self.read(source))
        if self.size(target) == 0:
            return False
        from_vector = self.vector(source)
        if target.vector_index >= 0:
            lane_of_word = target.vas in ONE_WORD and target.vector_index <= 1
            return lane_of_word and self._set_lane(number, target.vector_index, self.read(source))
        if self.size(target) == WORD:
            return self.set_lanes(number, [self.read(source)])
        if from_vector is not None and source.vector_index < 0 and source.vas == arm64.ARM64_VAS_16B:
            return self.set_lanes(number, self.state.vector(from_vector)[:2])
        return False

    def _duplicate(self, operands: list[Operand]) -> bool:
        number = self.vector(operands[0])
        if number is None or operands[0].vas != arm64.ARM64_VAS_2D:
            return False
        value = self.read(operands[1])
        return self.set_lanes(number, [value, value])

    def _move_immediate(self, operands: list[Operand]) -> bool:
        """Only zero, which is the same for all arrangements."""
        number = self.vector(operands[0])
        return number is not None and operands[1].imm == 0 and self.set_lanes(number, [ZERO, ZERO])

    def _keep(self, operands: list[Operand]) -> bool:
        target, part = operands
        value, shift = self.read(target), part.shift.value
        if not isinstance(value, Number):
            return self.write(target, None)
        return self.write(target, Number(value.value & ~(0xFFFF << shift) & MASK | part.imm << shift & MASK))

    def _address(self, operands: list[Operand]) -> bool:
        return self.write(operands[0], Address(operands[1].imm & MASK))

    def _add(self, operands: list[Operand]) -> bool:
        target, one, other = operands
        if any(self.vector(operand) is not None for operand in operands) or other.ext:
            return False
        value, change = self.read(one), self.read(other)
        if self.instruction.mnemonic == "sub":
            change = Number(-change.value & MASK) if isinstance(change, Number) else None
        return self.write(target, added(value, change))

    def _and(self, operands: list[Operand]) -> bool:
        target, one, mask = operands
        if self.name(target.reg) == "sp" and isinstance(self.read(one), Stack):
            self.state.align_stack()
            return True
        value, bits = self.read(one), self.read(mask)
        if not isinstance(value, Number) or not isinstance(bits, Number):
            return False
        return self.write(target, Number(value.value & bits.value))

    def _zero(self, operands: list[Operand]) -> bool:
        target, one, other = operands
        if other.type != arm64.ARM64_OP_REG or one.reg != other.reg or other.shift.type:
            return False
        number = self.vector(target)
        return self.write(target, ZERO) if number is None else self.set_lanes(number, [ZERO, ZERO])

    def _combine(self, operands: list[Operand]) -> bool:
        """One word of each of two vectors."""
        numbers = [self.vector(operand) for operand in operands[:3]]
        name = str(self.instruction.mnemonic)
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
        return self.set_lanes(target, lanes)

    # What is not understood

    def _forget_what_is_written(self, name: str, operands: list[Operand]) -> None:
        """If capstone does not know which registers are written, as in atomic operations, all of them."""
        registers = [operand for operand in operands if operand.type == arm64.ARM64_OP_REG]
        all_written = any(operand.access == 0 for operand in registers)
        written = [
            operand.reg
            for operand in registers
            if all_written or operand is operands[0] or operand.access & capstone.CS_AC_WRITE
        ]
        for operand in operands:
            if operand.type == arm64.ARM64_OP_MEM:
                if not _ONLY_LOADS.match(name):
                    self.state.forget(self.place(operand), None)
                if self.instruction.writeback:
                    written.append(operand.mem.base)
        for register in (*written, *self.instruction.regs_access()[1]):
            self._forget_register(self.name(register))

    def _forget_register(self, name: str) -> None:
        if name in GENERAL:
            self.state.set(GENERAL[name][0], None)
        elif name in VECTORS:
            self.state.vectors.pop(VECTORS[name][0], None)
