"""The instructions of x86-64 for symbolic execution: those that compilers use to fill tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import capstone
from capstone import x86

from tlstap.discovery.operands_x86 import GENERAL, VECTORS, X86Operands
from tlstap.discovery.straight_line import END, NEXT, Step
from tlstap.discovery.symbolic import (
    LANES,
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
    from capstone.x86 import X86Op as Operand

    Lanes = list[Value | None]

CONVENTION = Convention(
    stack_pointer="rsp",
    arguments=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    result="rax",
    preserved=frozenset({"rbx", "rbp", "rsp", "r12", "r13", "r14", "r15"}),
)

_PREFIXES = ("bnd ", "notrack ", "lock ", "rep ", "repz ", "repnz ", "repe ", "repne ")
_ENDS = frozenset({"ret", "retf", "iretq", "sysret", "lcall", "ljmp", "hlt", "ud0", "ud1", "ud2", "int3"})
_READERS = frozenset(
    {"cmp", "test", "nop", "bt", "ptest", "vptest", "comiss", "comisd", "ucomiss", "ucomisd", "vucomiss"}
    | {"vucomisd", "endbr64", "pause", "lfence", "sfence", "mfence", "cld", "fnop", "wait"}
    | {"prefetcht0", "prefetcht1", "prefetcht2", "prefetchnta", "prefetchw"}
)
_ZEROING = frozenset(
    {"xor", "sub", "pxor", "xorps", "xorpd", "psubq"}
    | {"vpxor", "vpxord", "vpxorq", "vxorps", "vxorpd", "vpsubq"}
)
_SSE_MOVES = {
    *("movups", "movupd", "movaps", "movapd", "movdqa", "movdqu", "lddqu", "movntdq", "movntps", "movntpd")
}
_VECTOR_MOVES = frozenset(
    {*_SSE_MOVES, *(f"v{name}" for name in _SSE_MOVES), "vmovdqa32", "vmovdqa64"}
    | {"vmovdqu8", "vmovdqu16", "vmovdqu32", "vmovdqu64"}
)
_STRING_UNITS = {"b": 1, "w": 2, "d": 4, "q": 8}
_STRINGS = {f"{name}{unit}": size for name in ("movs", "stos") for unit, size in _STRING_UNITS.items()}
# What they write in memory is not just as large as their operand.
_WRITES_MORE = ("xsave", "fxsave", "fnsave", "bts", "btr", "btc")
_WRITES_BESIDES = {
    "cmpxchg": ("rax",),
    "enter": ("rsp", "rbp"),
    "syscall": ("rax", "rcx", "r11"),
}


class X86(X86Operands):
    """Executes instructions on a state."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._handlers: dict[str, Callable[[list[Operand]], bool]] = {
            "mov": self._move,
            "movabs": self._move,
            "movzx": self._move,
            "lea": self._lea,
            "add": self._add,
            "sub": self._add,
            "and": self._and,
            "push": self._push,
            "pop": self._pop,
            "leave": self._leave,
            "movq": self._move_low,
            "movd": self._move_low,
            "movsd": self._move_low,
            "movhps": self._move_half,
            "movhpd": self._move_half,
            "movlps": self._move_half,
            "movlpd": self._move_half,
            "movlhps": self._combine,
            "movhlps": self._combine,
            "punpcklqdq": self._combine,
            "unpcklpd": self._combine,
            "punpckhqdq": self._combine,
            "unpckhpd": self._combine,
            "shufpd": self._combine,
            "palignr": self._combine,
            "pshufd": self._shuffle,
            "pinsrq": self._insert_word,
            "pextrq": self._extract,
            "movddup": self._broadcast,
            "pbroadcastq": self._broadcast,
            "broadcastsd": self._broadcast,
            "inserti128": self._insert_half,
            "insertf128": self._insert_half,
            "extracti128": self._extract,
            "extractf128": self._extract,
            "zeroupper": self._zero_upper,
        }

    def step(self, instruction: Instruction) -> Step:
        """Execute an instruction."""
        self.instruction = instruction
        name: str = instruction.mnemonic
        while name.startswith(_PREFIXES):
            name = name.partition(" ")[2]
        operands = instruction.operands
        if name in ("call", "jmp"):
            return Step("call" if name == "call" else "jump", self._branch_target(operands[0]))
        if name in _ENDS:
            return END
        if name in _READERS or instruction.group(capstone.CS_GRP_JUMP):
            return NEXT
        if not self._understood(name, operands):
            self._forget_what_is_written(name, operands)
        return NEXT

    def _understood(self, name: str, operands: list[Operand]) -> bool:
        if name == "syscall":
            self.state.forget(None, None)
            return False
        if "{" in self.instruction.op_str:  # AVX-512 masks
            return False
        if name in _ZEROING and self._zero(operands):
            return True
        if name in _STRINGS and not any(self.vector_of(operand) for operand in operands):
            return self._string(name)
        if name in _VECTOR_MOVES:
            return self._move_vector(operands)
        handler = self._handlers.get(name) or self._handlers.get(name.removeprefix("v"))
        return handler is not None and handler(operands)

    def _branch_target(self, operand: Operand) -> Value | None:
        if operand.type == x86.X86_OP_IMM:
            return Address(operand.imm & MASK)
        return self.static(self.read(operand))

    # General registers

    def _move(self, operands: list[Operand]) -> bool:
        return self.write(operands[0], self.read(operands[1]))

    def _lea(self, operands: list[Operand]) -> bool:
        return self.write(operands[0], self.sum(operands[1]))

    def _add(self, operands: list[Operand]) -> bool:
        target, other = operands
        if target.type != x86.X86_OP_REG:
            return False
        value, change = self.read(target), self.read(other)
        if self.instruction.mnemonic == "sub":
            change = Number(-change.value & MASK) if isinstance(change, Number) else None
        return self.write(target, added(value, change))

    def _and(self, operands: list[Operand]) -> bool:
        target, mask = (self.read(operand) for operand in operands)
        if operands[0].type != x86.X86_OP_REG or not isinstance(mask, Number):
            return False
        if isinstance(target, Stack):
            if self.name(operands[0].reg) != self.state.stack_pointer:
                return False
            self.state.align_stack()
            return True
        return isinstance(target, Number) and self.write(operands[0], Number(target.value & mask.value))

    def _push(self, operands: list[Operand]) -> bool:
        if operands[0].size != WORD and operands[0].type != x86.X86_OP_IMM:
            return False
        self.state.push(self.read(operands[0]))
        return True

    def _pop(self, operands: list[Operand]) -> bool:
        return operands[0].size == WORD and self.write(operands[0], self.state.pop())

    def _leave(self, operands: list[Operand]) -> bool:
        self.state.set("rsp", self.state.general.get("rbp"))
        self.state.set("rbp", self.state.pop())
        return True

    def _zero(self, operands: list[Operand]) -> bool:
        """`xor a, a` and the like."""
        one, other = operands[-2:]
        if one.type != x86.X86_OP_REG or other.type != x86.X86_OP_REG or one.reg != other.reg:
            return False
        register = self.vector_of(operands[0])
        if register is not None:
            return self.set_lanes(operands[0], [ZERO] * register[1])
        return self.write(operands[0], ZERO)

    def _string(self, name: str) -> bool:
        """movs and stos, perhaps repeated, upwards: what they store is not followed."""
        count: Value | None = Number(1)
        if str(self.instruction.mnemonic).startswith("rep"):
            count = self.state.general.get("rcx")
            self.state.set("rcx", ZERO)
        size = count.value * _STRINGS[name] if isinstance(count, Number) else None
        self.state.forget(self.static(self.state.general.get("rdi")), size)
        for register in ("rdi", "rsi") if name.startswith("movs") else ("rdi",):
            value = self.state.general.get(register)
            self.state.set(register, None if size is None else moved(value, size))
        return True

    # Vectors

    def _move_vector(self, operands: list[Operand]) -> bool:
        if len(operands) != 2:
            return False
        target, source = operands
        register = self.vector_of(target) or self.vector_of(source)
        if register is None:
            return False
        lanes = self.lanes(source, register[1])
        if target.type == x86.X86_OP_MEM:
            self.state.store_words(self.place(target), lanes)
            return True
        return self.set_lanes(target, lanes)

    def _move_low(self, operands: list[Operand]) -> bool:
        """movq, movd, movsd between the lowest word and a general register, memory or another vector."""
        if len(operands) != 2:
            return False
        target, source = operands
        size = 4 if self.instruction.mnemonic in ("movd", "vmovd") else WORD
        from_vector = self.vector_of(source) is not None
        value = self.lanes(source, 1)[0] if from_vector else self.read(source)
        if self.vector_of(target) is None:
            return from_vector and self.write(target, cut(value, size))
        if "movsd" in self.instruction.mnemonic and from_vector:
            return self.set_lanes(target, [value])
        return self.set_lanes(target, [cut(value, size), ZERO])

    def _move_half(self, operands: list[Operand]) -> bool:
        """movhps, movlps and the like, between one word of a vector and memory."""
        high = int("movh" in self.instruction.mnemonic)
        if operands[0].type == x86.X86_OP_MEM:
            return self.write(operands[0], self.lanes(operands[1], 2)[high])
        lanes = self.lanes(operands[-2], 2)
        lanes[high] = self.read(operands[-1])
        return self.set_lanes(operands[0], lanes)

    def _combine(self, operands: list[Operand]) -> bool:
        """One word of each of two vectors."""
        register = self.vector_of(operands[0])
        if register is None or register[1] != 2:
            return False
        one, other = (self.lanes(operand, 2) for operand in self.sources(operands))
        lanes: Lanes
        name = str(self.instruction.mnemonic).removeprefix("v")
        immediate: int = operands[-1].imm if operands[-1].type == x86.X86_OP_IMM else 0
        if name == "shufpd":
            lanes = [one[immediate & 1], other[immediate >> 1 & 1]]
        elif name == "palignr":
            lanes = [other[1], one[0]] if immediate == WORD else [None, None]
        elif name == "movhlps":
            lanes = [other[1], one[1]]
        elif name in ("punpckhqdq", "unpckhpd"):
            lanes = [one[1], other[1]]
        else:
            lanes = [one[0], other[0]]
        return self.set_lanes(operands[0], lanes)

    def _shuffle(self, operands: list[Operand]) -> bool:
        """pshufd, if it moves whole words."""
        words = {0x44: (0, 0), 0x4E: (1, 0), 0xE4: (0, 1), 0xEE: (1, 1)}.get(operands[-1].imm & 0xFF)
        register = self.vector_of(operands[0])
        if words is None or register is None or register[1] != 2:
            return False
        source = self.lanes(operands[1], 2)
        return self.set_lanes(operands[0], [source[word] for word in words])

    def _insert_word(self, operands: list[Operand]) -> bool:
        lanes = self.lanes(operands[-3], 2)
        lanes[operands[-1].imm & 1] = self.read(operands[-2])
        return self.set_lanes(operands[0], lanes)

    def _insert_half(self, operands: list[Operand]) -> bool:
        lanes = self.lanes(operands[1], 4)
        first = 2 * (operands[-1].imm & 1)
        lanes[first : first + 2] = self.lanes(operands[2], 2)
        return self.set_lanes(operands[0], lanes)

    def _extract(self, operands: list[Operand]) -> bool:
        target, source, number = operands
        if "128" not in self.instruction.mnemonic:
            return self.write(target, self.lanes(source, 2)[number.imm & 1])
        first = 2 * (number.imm & 1)
        lanes = self.lanes(source, 4)[first : first + 2]
        if target.type == x86.X86_OP_MEM:
            self.state.store_words(self.place(target), lanes)
            return True
        return self.set_lanes(target, lanes)

    def _broadcast(self, operands: list[Operand]) -> bool:
        register = self.vector_of(operands[0])
        if register is None or (register[1] != 2 and "movddup" in self.instruction.mnemonic):
            return False
        source = operands[1]
        value = self.lanes(source, 1)[0] if self.vector_of(source) else self.read(source)
        return self.set_lanes(operands[0], [value] * register[1])

    def _zero_upper(self, operands: list[Operand]) -> bool:
        for number, lanes in self.state.vectors.items():
            if number < 16:
                self.state.vectors[number] = [*lanes[:2], *[ZERO] * (LANES - 2)]
        return True

    # What is not understood

    def _forget_what_is_written(self, name: str, operands: list[Operand]) -> None:
        if name.removeprefix("v") in ("maskmovdqu", "maskmovq"):
            self.state.forget(self.static(self.state.general.get("rdi")), 2 * WORD)
        more = name.startswith(_WRITES_MORE)
        for number, operand in enumerate(operands):
            if operand.type == x86.X86_OP_MEM and (number == 0 or operand.access & capstone.CS_AC_WRITE):
                self.state.forget(self.place(operand), None if more else operand.size or None)
        try:
            written = {self.name(register) for register in self.instruction.regs_access()[1]}
        except capstone.CsError:
            written = {*GENERAL, *VECTORS}
        written |= {*_WRITES_BESIDES.get(name, ())}
        if "gather" in name:  # clears the mask, too
            written |= VECTORS.keys()
        written |= {self.name(operand.reg) for operand in operands[:1] if operand.type == x86.X86_OP_REG}
        for register in written:
            if register in GENERAL:
                self.state.set(GENERAL[register][0], None)
            elif register in VECTORS:
                self.state.vectors.pop(VECTORS[register][0], None)
