"""Numbers that registers hold, as far as they are known, and where they stand for something else."""

from __future__ import annotations

from collections.abc import Mapping

NUMBER = r"(-?0x[0-9a-f]+|-?\d+)"

OWN_ARGUMENTS = tuple(range(1 << 80, (1 << 80) + 6))
"""Stand for what the function itself was called with, the first argument first. No register holds such a
number."""

STACK = 1 << 88
"""Stands for the stack pointer on entry."""
MAX_FRAME = 1 << 20
"""Bytes of stack around a function's entry in which its own are looked for."""

Constants = Mapping[str, int]
"""Registers that hold a constant (a number or an address, not told apart) or an argument, by full name. On
x86-64 also words of the stack that hold an argument, by address and size, see STACK."""


def is_stack(value: int | None) -> bool:
    return value is not None and abs(value - STACK) < MAX_FRAME


def unless_stack(value: int | None) -> int | None:
    return None if is_stack(value) else value


def cut(value: int | None, width: int) -> int | None:
    """The part of a value that a register of this width holds; of an argument, that is all that matters."""
    return value if value is None or value in OWN_ARGUMENTS or is_stack(value) else value & width


def extended(value: int | None) -> int | None:
    """The 64 bits that stand for a number of 32 bits with a sign."""
    if value is None or value in OWN_ARGUMENTS or is_stack(value):
        return value
    return ((value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000) & 0xFFFFFFFFFFFFFFFF


def added(value: int | None, distance: int) -> int | None:
    if value is None or distance == 0:
        return value
    return None if value in OWN_ARGUMENTS else value + distance


def set_register(registers: dict[str, int], register: str | None, value: int | None) -> None:
    if register is None:
        return
    if value is None:
        registers.pop(register, None)
    else:
        registers[register] = value
