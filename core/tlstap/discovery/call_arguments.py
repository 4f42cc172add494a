"""Which constants a function passes to the functions that it calls.

Registers are followed along every way through the function, with what they hold as far as that is a
constant, or one of the function's own arguments. What is not understood becomes unknown, never a guess.
Compilers merge the ends of branches, so one call instruction may stand for several calls with different
arguments: each of them is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tlstap.discovery.instructions import Instruction, decode

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.functions import Functions
    from tlstap.discovery.unwind import Bounds

MAX_CODE = 64 << 10
"""Bytes of a function that are looked at."""
_MAX_STATES = 48
"""Ways to one instruction with different constants that are told apart; beyond, all is unknown there."""
_MAX_PUSHED = 4
MAX_FRAME = 1 << 20
"""Bytes of stack around a function's entry in which its own are looked for."""
_NUMBER = r"(-?0x[0-9a-f]+|-?\d+)"

OWN_ARGUMENTS = tuple(range(1 << 80, (1 << 80) + 6))
"""Stand for what the function itself was called with, the first argument first. No register holds such a
number."""

STACK = 1 << 88
"""Stands for the stack pointer on entry."""
_LENT = "lent"
"""The lowest address of the stack that was made: what stands from there on, others may write to."""

Constants = Mapping[str, int]
"""Registers that hold a constant (a number or an address, not told apart) or an argument, by full name. On
x86-64 also words of the stack that hold an argument, by address and size, see STACK."""
State = tuple[tuple[tuple[str, int], ...], tuple[int | None, ...]]
"""(registers, what was pushed last), hashable."""


class Call(NamedTuple):
    """A direct call, or a jump out of the function, and its first six arguments: constants, OWN_ARGUMENTS,
    or None where it can't be told."""

    address: int
    target: int
    arguments: tuple[int | None, ...]


class Code(NamedTuple):
    """A function's instructions by address, with its parts elsewhere, and what it calls."""

    entry: int
    instructions: Mapping[int, Instruction]
    calls: tuple[Call, ...]
    through_pointers: frozenset[tuple[int | None, ...]]
    """The arguments of the calls (or jumps) to computed addresses, as in Call."""

    def calls_of(self, target: int) -> list[int]:
        """Addresses of the calls of a function (or jumps to it)."""
        return sorted({call.address for call in self.calls if call.target == target})


def read_code(image: ElfImage, functions: Functions, function: Bounds) -> Code:
    """A function's code, and the calls in it with their arguments, sorted by address.

    :raise ElfError: if the image is malformed.
    """
    instructions = _decode_all(image, functions, function)
    step, arguments, clobbered = _MACHINES[image.machine]
    calls: set[Call] = set()
    through_pointers: set[tuple[int | None, ...]] = set()
    seen: dict[int, set[State]] = {}
    entry = tuple(sorted([*zip(arguments, OWN_ARGUMENTS, strict=True), ("rsp", STACK)]))
    work: list[tuple[int, State]] = [(function.start, (entry, ()))]
    # What only a table of jumps leads to is looked at too, with nothing known.
    remaining = iter(sorted(instructions))
    while True:
        if not work:
            address = next((one for one in remaining if one not in seen), None)
            if address is None:
                break
            work.append((address, ((), ())))
        address, state = work.pop()
        while (one := instructions.get(address)) is not None:
            known = seen.setdefault(address, set())
            if len(known) >= _MAX_STATES:
                state = ((), ())
            if state in known:
                break
            known.add(state)
            registers, pushed = dict(state[0]), list(state[1])
            leaves = one.target is not None and one.target not in instructions
            if one.flow == "call" or (one.flow == "jump" and (leaves or one.target is None)):
                passed = tuple(_unless_stack(registers.get(name)) for name in arguments)
                if one.target is not None:
                    calls.add(Call(one.address, one.target, passed))
                else:
                    through_pointers.add(passed)
                for name in clobbered:
                    registers.pop(name, None)
                _forget_lent(registers)
            elif one.flow == "next":
                step(one, registers, pushed)
            state = (tuple(sorted(registers.items())), tuple(pushed[-_MAX_PUSHED:]))
            if one.flow == "branch" and one.target is not None and not leaves:
                work.append((one.target, state))
            if one.flow == "end" or (one.flow == "jump" and (leaves or one.target is None)):
                break
            address = one.target if one.flow == "jump" and one.target is not None else one.next
    ordered = tuple(sorted(calls, key=lambda call: call.address))
    return Code(function.start, instructions, ordered, frozenset(through_pointers))


def _decode_all(image: ElfImage, functions: Functions, function: Bounds) -> dict[int, Instruction]:
    """The function's instructions, and those of its parts that nobody else calls."""
    instructions: dict[int, Instruction] = {}
    left = MAX_CODE
    parts, taken = [function], {function}
    while parts and left > 0:
        part = parts.pop()
        fresh = list(decode(image, part.start, min(part.end, part.start + left)))
        left -= part.end - part.start
        instructions.update((one.address, one) for one in fresh)
        for one in fresh:
            if one.flow not in ("branch", "jump") or one.target is None or one.target in instructions:
                continue
            other = None if part.start <= one.target < part.end else functions.bounds(one.target)
            if other is None or other in taken or functions.is_entered(other):
                continue
            if functions.owner(one.target) == function:
                taken.add(other)
                parts.append(other)
    return instructions


# x86-64


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
_X86_RIP = re.compile(rf"\[rip (?P<sign>[+-]) {_NUMBER}\]")
_X86_SUM = re.compile(rf"\[(?P<base>\w+)(?: (?P<sign>[+-]) {_NUMBER})?\]")
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


def _step_x86(one: Instruction, registers: dict[str, int], pushed: list[int | None]) -> None:
    name = one.name
    first, _, second = one.operands.partition(", ")
    register = _X86_NAMES.get(first)
    if name == "push":
        pushed.append(_unless_stack(_x86_value(first, registers)))
        _set(registers, "rsp", _moved(registers.get("rsp"), -8))
        _store(registers, registers.get("rsp"), 8, None)
    elif name == "pop":
        value = pushed.pop() if pushed else None
        _set(registers, "rsp", _moved(registers.get("rsp"), 8))
        _set(registers, register, value)
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
        _set(registers, register, _cut(value, _width(first)))
    elif name == "movsxd":
        value = _x86_value(second, registers)
        if match := _X86_MEMORY.fullmatch(second):
            value = _loaded(one, match, registers)
        _set(registers, register, _extended(value))
    elif name == "lea" and first in _X86_WIDE:
        value = _x86_address(one, second, registers)
        _lend(registers, register, value)
        _set(registers, register, _cut(value, _width(first)))
    elif name in ("xor", "sub") and first == second and first in _X86_WIDE:
        registers[register] = 0
    elif name == "or" and second in ("-1", "0xffffffff", "0xffffffffffffffff") and first in _X86_WIDE:
        registers[register] = _width(first)
    elif name in ("add", "sub") and first in ("rsp", "rbp") and _is_stack(registers.get(first)):
        distance = _x86_value(second, {})
        sign = 1 if name == "add" else -1
        _set(registers, first, None if distance is None else _moved(registers[first], sign * distance))
        pushed.clear()
    elif _X86_FIRST_ONLY.fullmatch(name) and not (name == "imul" and not second):
        registers.pop(register, None)
        if register == "rsp":
            pushed.clear()
    else:  # it may write others
        registers.clear()
        pushed.clear()


def _is_stack(value: int | None) -> bool:
    return value is not None and abs(value - STACK) < MAX_FRAME


def _unless_stack(value: int | None) -> int | None:
    return None if _is_stack(value) else value


def _moved(pointer: int | None, distance: int) -> int | None:
    """The stack pointer, moved."""
    return pointer + distance if pointer is not None and _is_stack(pointer + distance) else None


def _lend(registers: dict[str, int], register: str, value: int | None) -> None:
    """An address in the stack was made that may be given to others."""
    if value is not None and _is_stack(value) and register not in ("rsp", "rbp"):
        registers[_LENT] = min(value, registers.get(_LENT, value))


def _forget_lent(registers: dict[str, int]) -> None:
    """Something was written, nobody knows where; but it is no place whose address nobody has."""
    lent = registers.get(_LENT)
    if lent is not None:
        for word in [name for name in registers if _SLASH in name and int(name.split(_SLASH)[0]) >= lent]:
            del registers[word]


def _store(registers: dict[str, int], place: int | None, size: int, value: int | None) -> None:
    """Keep an argument that is stored in the stack, and forget what was there."""
    if place is None or not _is_stack(place):
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
    if place is None or not _is_stack(place):
        return None
    whole = registers.get(f"{place}{_SLASH}8")
    return registers.get(f"{place}{_SLASH}4", whole) if memory["size"] == "dword" else whole


def _width(name: str) -> int:
    return 0xFFFFFFFF if name.startswith("e") or name.endswith("d") else 0xFFFFFFFFFFFFFFFF


def _x86_value(operand: str, registers: Constants) -> int | None:
    if operand in _X86_NAMES:
        return _cut(registers.get(_X86_NAMES[operand]), _width(operand)) if operand in _X86_WIDE else None
    try:
        return int(operand, 0)
    except ValueError:
        return None


def _x86_address(one: Instruction, operand: str, registers: Constants) -> int | None:
    if match := _X86_RIP.fullmatch(operand):
        return one.next + int(match["sign"] + match[2], 0)
    if match := _X86_SUM.fullmatch(operand):
        base = _x86_value(match["base"], registers)
        return _sum(base, int((match["sign"] or "+") + (match[3] or "0"), 0))
    return None


# aarch64

_A64_REGISTER = re.compile(r"[xw](?P<number>\d+)|(?P<zero>[xw]zr)")
_A64_READERS = re.compile(
    r"st\w+|cmp|cmn|tst|ccm[pn]|nop|hint|prfm|dmb|dsb|isb|bti|fcmp\w*|pac\w+|aut\w+|fccmp\w*"
)
_A64_SHIFT = re.compile(rf"#{_NUMBER}(?:, lsl #(?P<shift>\d+))?")


def _step_aarch64(one: Instruction, registers: dict[str, int], pushed: list[int | None]) -> None:
    name = one.name
    operands = [part.strip() for part in one.operands.split(",")]
    first = _a64_name(operands[0])
    rest = one.operands.partition(",")[2].strip()
    if "]!" in one.operands or ("]," in one.operands and not one.operands.endswith("]")):
        written = _A64_REGISTER.search(one.operands.partition("[")[2])
        if written is not None:
            registers.pop(f"x{written['number']}", None)
    if _A64_READERS.fullmatch(name):
        return
    value: int | None = None
    if name in ("mov", "movz", "adrp", "adr"):
        value = _a64_value(rest, registers)
    elif name == "movk" and first is not None and first in registers:
        match = _A64_SHIFT.fullmatch(rest)
        if match:
            shift = int(match["shift"] or 0)
            value = registers[first] & ~(0xFFFF << shift) | int(match[1], 0) << shift
    elif name == "sxtw":
        value = _extended(_a64_value(rest, registers))
    elif name in ("add", "sub") and len(operands) >= 3:
        base = _a64_value(operands[1], registers)
        addend = _a64_value(", ".join(operands[2:]), registers)
        if addend is not None:
            value = _sum(base, addend if name == "add" else -addend)
    if name.startswith(("ldp", "ldnp", "ldxp", "ldaxp", "ldpsw")) and len(operands) > 1:
        _set(registers, _a64_name(operands[1]), None)
    _set(registers, first, _cut(value, _a64_width(operands[0])))


def _a64_width(register: str) -> int:
    return 0xFFFFFFFF if register.startswith("w") else 0xFFFFFFFFFFFFFFFF


def _a64_name(operand: str) -> str | None:
    match = _A64_REGISTER.fullmatch(operand)
    return f"x{match['number']}" if match and match["number"] else None


def _a64_value(operand: str, registers: Constants) -> int | None:
    if match := _A64_REGISTER.fullmatch(operand):
        if match["zero"]:
            return 0
        return _cut(registers.get(f"x{match['number']}"), _a64_width(operand))
    if match := _A64_SHIFT.fullmatch(operand):
        return int(match[1], 0) << int(match["shift"] or 0)
    return None


def _cut(value: int | None, width: int) -> int | None:
    """The part of a value that a register of this width holds; of an argument, that is all that matters."""
    return value if value is None or value in OWN_ARGUMENTS or _is_stack(value) else value & width


def _extended(value: int | None) -> int | None:
    """The 64 bits that stand for a number of 32 bits with a sign."""
    if value is None or value in OWN_ARGUMENTS or _is_stack(value):
        return value
    return ((value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000) & 0xFFFFFFFFFFFFFFFF


def _sum(value: int | None, distance: int) -> int | None:
    if value is None or distance == 0:
        return value
    return None if value in OWN_ARGUMENTS else value + distance


def _set(registers: dict[str, int], register: str | None, value: int | None) -> None:
    if register is None:
        return
    if value is None:
        registers.pop(register, None)
    else:
        registers[register] = value


_Step = Callable[[Instruction, dict[str, int], list[int | None]], None]
_MACHINES: Mapping[str, tuple[_Step, tuple[str, ...], tuple[str, ...]]] = {
    "x86_64": (
        _step_x86,
        ("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
        ("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"),
    ),
    "aarch64": (
        _step_aarch64,
        tuple(f"x{number}" for number in range(6)),
        (*(f"x{number}" for number in range(19)), "x30"),
    ),
}
