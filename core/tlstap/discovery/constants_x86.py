"""What an instruction of x86-64 does to constants in registers, and to arguments that wait on the stack."""

from __future__ import annotations

import re

from tlstap.discovery.constants import (
    NUMBER,
    OWN_ARGUMENTS,
    STACK,
    Constants,
    added,
    cut,
    extended,
    is_stack,
    set_register,
    unless_stack,
)
from tlstap.discovery.instructions import Instruction

ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
_CLOBBERED = ("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11")

_LENT = "lent"
"""The lowest address of the stack that was made: what stands from there on, others may write to."""


def _x86_names() -> dict[str, str]:
    names: dict[str, str] = {}
    for letter in "abcd":
        names |= dict.fromkeys((f"r{letter}x", f"e{letter}x", f"{letter}x", f"{letter}l"), f"r{letter}x")
        names[f"{letter}h"] = f"r{letter}x"
    for name in ("si", "di", "bp", "sp"):
        names |= dict.fromkeys((f"r{name}", f"e{name}", name, f"{name}l"), f"r{name}")
    for number in range(8, 16):
        names |= {f"r{number}{suffix}": f"r{number}" for suffix in ("", "d", "w", "b")}
    return names


_X86_NAMES = _x86_names()
_X86_WIDE = {name for name in _X86_NAMES if name.startswith("r") and not name.endswith(("w", "b"))} | {
    name for name in _X86_NAMES if name.startswith("e")
}
_X86_RIP = re.compile(rf"\[rip (?P<sign>[+-]) {NUMBER}\]")
_X86_SUM = re.compile(rf"\[(?P<base>\w+)(?: (?P<sign>[+-]) {NUMBER})?\]")
_X86_SIZES = {"byte": 1, "word": 2, "dword": 4, "qword": 8}
_X86_WIDEST = 64
_STORED = (8, 4)
_SLASH = "/"
_X86_STRINGS = re.compile(r"(movs|stos)[bwdq]")
_X86_MEMORY = re.compile(rf"(?P<size>{'|'.join(_X86_SIZES)}) ptr (?P<address>\[.+\])")
_X86_READERS = re.compile(r"cmp|test|nop[wl]?|bt|endbr64|prefetch\w*|u?comis[sd]|pause|.*fence|ptest")
_X86_FIRST_ONLY = re.compile(
    r"mov\w*|lea|add|sub|and|or|xor|not|neg|inc|dec|sh[lr]d?|sar|sal|ro[lr]|adc|sbb|set\w+|cmov\w+|imul"
    r"|bs[fr]|popcnt|lzcnt|tzcnt|bswap|bts|btr|btc|v?p\w+|v?\w+[sp][sd]|v?mov\w+|pop|andn|bextr|bls\w+"
)


def step(one: Instruction, registers: dict[str, int], pushed: list[int | None]) -> None:
    name = one.name
    first, _, second = one.operands.partition(", ")
    register = _X86_NAMES.get(first)
    if name == "push":
        pushed.append(unless_stack(_x86_value(first, registers)))
        set_register(registers, "rsp", _moved(registers.get("rsp"), -8))
        _store(registers, registers.get("rsp"), 8, None)
    elif name == "pop":
        value = pushed.pop() if pushed else None
        set_register(registers, "rsp", _moved(registers.get("rsp"), 8))
        set_register(registers, register, value)
    elif name in ("cdqe", "cdq", "cqo"):
        for implied in ("rax", "rdx"):
            registers.pop(implied, None)
    elif register is None:
        moves_on = _X86_STRINGS.fullmatch(name) and ("[" in second or name.startswith("stos"))
        if moves_on or not (_X86_READERS.fullmatch(name) or _X86_FIRST_ONLY.fullmatch(name)):
            registers.clear()
        elif name == "mov" and (match := _X86_MEMORY.fullmatch(first)):
            place = _x86_address(one, match["address"], registers)
            _store(registers, place, _X86_SIZES[match["size"]], _x86_value(second, registers))
        elif "[" in first and not _X86_READERS.fullmatch(name):
            match = _X86_SUM.fullmatch(first[first.index("[") :])
            _store(registers, _x86_address(one, match[0], registers) if match else None, _X86_WIDEST, None)
        if "[rsp" in first:
            pushed.clear()
        if name in ("leave", "enter"):
            pushed.clear()
            registers.pop("rsp", None)
            registers.pop("rbp", None)
    elif _X86_READERS.fullmatch(name):
        return
    elif name in ("mov", "movabs") and first in _X86_WIDE:
        value = _x86_value(second, registers)
        if match := _X86_MEMORY.fullmatch(second):
            value = _loaded(one, match, registers)
        _lend(registers, register, value)
        set_register(registers, register, cut(value, _width(first)))
    elif name == "movsxd":
        value = _x86_value(second, registers)
        if match := _X86_MEMORY.fullmatch(second):
            value = _loaded(one, match, registers)
        set_register(registers, register, extended(value))
    elif name == "lea" and first in _X86_WIDE:
        value = _x86_address(one, second, registers)
        _lend(registers, register, value)
        set_register(registers, register, cut(value, _width(first)))
    elif name in ("xor", "sub") and first == second and first in _X86_WIDE:
        registers[register] = 0
    elif name == "or" and second in ("-1", "0xffffffff", "0xffffffffffffffff") and first in _X86_WIDE:
        registers[register] = _width(first)
    elif name in ("add", "sub") and first in ("rsp", "rbp") and is_stack(registers.get(first)):
        distance = _x86_value(second, {})
        sign = 1 if name == "add" else -1
        set_register(
            registers, first, None if distance is None else _moved(registers[first], sign * distance)
        )
        pushed.clear()
    elif _X86_FIRST_ONLY.fullmatch(name) and not (name == "imul" and not second):
        registers.pop(register, None)
        if register == "rsp":
            pushed.clear()
    else:  # it may write others
        registers.clear()
        pushed.clear()


def _moved(pointer: int | None, distance: int) -> int | None:
    """The stack pointer, moved."""
    return pointer + distance if pointer is not None and is_stack(pointer + distance) else None


def _lend(registers: dict[str, int], register: str, value: int | None) -> None:
    """An address in the stack was made that may be given to others."""
    if value is not None and is_stack(value) and register not in ("rsp", "rbp"):
        registers[_LENT] = min(value, registers.get(_LENT, value))


def _forget_lent(registers: dict[str, int]) -> None:
    """Something was written, nobody knows where; but it is no place whose address nobody has."""
    lent = registers.get(_LENT)
    if lent is not None:
        for word in [name for name in registers if _SLASH in name and int(name.split(_SLASH)[0]) >= lent]:
            del registers[word]


def _store(registers: dict[str, int], place: int | None, size: int, value: int | None) -> None:
    """Keep an argument that is stored in the stack, and forget what was there."""
    if place is None or not is_stack(place):
        _forget_lent(registers)
        return
    for stored in _STORED:
        for near in range(place - stored + 1, place + size):
            registers.pop(f"{near}{_SLASH}{stored}", None)
    if value is not None and value in OWN_ARGUMENTS and size in _STORED:
        registers[f"{place}{_SLASH}{size}"] = value


def _loaded(one: Instruction, memory: re.Match[str], registers: Constants) -> int | None:
    """The argument that was stored at a place in the stack; of one of 8 bytes, the lower half may do."""
    place = _x86_address(one, memory["address"], registers)
    if place is None or not is_stack(place):
        return None
    whole = registers.get(f"{place}{_SLASH}8")
    return registers.get(f"{place}{_SLASH}4", whole) if memory["size"] == "dword" else whole


def _width(name: str) -> int:
    return 0xFFFFFFFF if name.startswith("e") or name.endswith("d") else 0xFFFFFFFFFFFFFFFF


def _x86_value(operand: str, registers: Constants) -> int | None:
    if operand in _X86_NAMES:
        return cut(registers.get(_X86_NAMES[operand]), _width(operand)) if operand in _X86_WIDE else None
    try:
        return int(operand, 0)
    except ValueError:
        return None


def _x86_address(one: Instruction, operand: str, registers: Constants) -> int | None:
    if match := _X86_RIP.fullmatch(operand):
        return one.next + int(match["sign"] + match[2], 0)
    if match := _X86_SUM.fullmatch(operand):
        base = _x86_value(match["base"], registers)
        return added(base, int((match["sign"] or "+") + (match[3] or "0"), 0))
    return None


def entry() -> dict[str, int]:
    """What registers hold when a function is called."""
    return {**dict(zip(ARGUMENTS, OWN_ARGUMENTS, strict=True)), "rsp": STACK}


def after_call(registers: dict[str, int]) -> None:
    """Forget what a called function may change."""
    for name in _CLOBBERED:
        registers.pop(name, None)
    _forget_lent(registers)
