"""What an instruction of aarch64 does to the constants in registers."""

from __future__ import annotations

import re

from tlstap.discovery.constants import NUMBER, OWN_ARGUMENTS, Constants, added, cut, extended, set_register
from tlstap.discovery.instructions import Instruction

ARGUMENTS = tuple(f"x{number}" for number in range(6))
_CLOBBERED = (*(f"x{number}" for number in range(19)), "x30")


_A64_REGISTER = re.compile(r"[xw](?P<number>\d+)|(?P<zero>[xw]zr)")
_A64_READERS = re.compile(
    r"st\w+|cmp|cmn|tst|ccm[pn]|nop|hint|prfm|dmb|dsb|isb|bti|fcmp\w*|pac\w+|aut\w+|fccmp\w*"
)
_A64_SHIFT = re.compile(rf"#{NUMBER}(?:, lsl #(?P<shift>\d+))?")


def step(one: Instruction, registers: dict[str, int], pushed: list[int | None]) -> None:
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
        value = extended(_a64_value(rest, registers))
    elif name in ("add", "sub") and len(operands) >= 3:
        base = _a64_value(operands[1], registers)
        addend = _a64_value(", ".join(operands[2:]), registers)
        if addend is not None:
            value = added(base, addend if name == "add" else -addend)
    if name.startswith(("ldp", "ldnp", "ldxp", "ldaxp", "ldpsw")) and len(operands) > 1:
        set_register(registers, _a64_name(operands[1]), None)
    set_register(registers, first, cut(value, _a64_width(operands[0])))


def _a64_width(register: str) -> int:
    return 0xFFFFFFFF if register.startswith("w") else 0xFFFFFFFFFFFFFFFF


def _a64_name(operand: str) -> str | None:
    match = _A64_REGISTER.fullmatch(operand)
    return f"x{match['number']}" if match and match["number"] else None


def _a64_value(operand: str, registers: Constants) -> int | None:
    if match := _A64_REGISTER.fullmatch(operand):
        if match["zero"]:
            return 0
        return cut(registers.get(f"x{match['number']}"), _a64_width(operand))
    if match := _A64_SHIFT.fullmatch(operand):
        return int(match[1], 0) << int(match["shift"] or 0)
    return None


def entry() -> dict[str, int]:
    """What registers hold when a function is called."""
    return dict(zip(ARGUMENTS, OWN_ARGUMENTS, strict=True))


def after_call(registers: dict[str, int]) -> None:
    """Forget what a called function may change."""
    for name in _CLOBBERED:
        registers.pop(name, None)
