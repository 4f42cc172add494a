"""Which constants a function passes to the functions that it calls.

Registers are followed along every way through the function, with what they hold as far as that is a
constant, or one of the function's own arguments. What is not understood becomes unknown, never a guess.
Compilers merge the ends of branches, so one call instruction may stand for several calls with different
arguments: each of them is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from tlstap.discovery import constants_aarch64, constants_x86
from tlstap.discovery.constants import unless_stack
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
    machine = constants_x86 if image.machine == "x86_64" else constants_aarch64
    calls: set[Call] = set()
    through_pointers: set[tuple[int | None, ...]] = set()
    seen: dict[int, set[State]] = {}
    work: list[tuple[int, State]] = [(function.start, (tuple(sorted(machine.entry().items())), ()))]
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
            functions.take_step()
            registers, pushed = dict(state[0]), list(state[1])
            leaves = one.target is not None and one.target not in instructions
            if one.flow == "call" or (one.flow == "jump" and (leaves or one.target is None)):
                passed = tuple(unless_stack(registers.get(name)) for name in machine.ARGUMENTS)
                if one.target is not None:
                    calls.add(Call(one.address, one.target, passed))
                else:
                    through_pointers.add(passed)
                machine.after_call(registers)
            elif one.flow == "next":
                machine.step(one, registers, pushed)
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
