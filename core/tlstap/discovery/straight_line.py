"""Executes a function's code symbolically, in a straight line from its entry, to see what it stores where.

Registers, the stack and the image's memory are followed as far as they are known: numbers, addresses in the
image, addresses of dynamic symbols, places in the stack. What is not understood becomes unknown, never a
guess: an unknown instruction makes what it writes unknown.

- A conditional jump is passed over, as if it were never taken.
- An unconditional jump is followed if it goes forward and stays in the function; else the line ends there, as
  it does at a return, an indirect jump and an invalid instruction.
- A call of a function that is known never to return ends the line too. Any other call keeps the registers
  that the platform's convention says it keeps, and may write all memory that others know of. What the code
  itself stored in the image stays part of the outcome. memcpy and the like do only what they are for.
- A store through an unknown pointer is taken not to hit what is part of the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tlstap.discovery.disassembly import LONGEST_INSTRUCTION, MAX_FUNCTION, disassembler
from tlstap.discovery.imports import stub_slot
from tlstap.discovery.symbolic import WORD, Address, Constants, Number, State, SymbolAddress, Value

if TYPE_CHECKING:
    import capstone

    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.relocations import Relocations
    from tlstap.discovery.unwind import Bounds

MAX_INSTRUCTIONS = 4096

_NEVER_RETURN = frozenset(
    {"abort", "exit", "_exit", "_Exit", "__stack_chk_fail", "__fortify_fail", "__chk_fail", "__assert_fail"}
    | {"longjmp", "siglongjmp", "_Unwind_Resume", "pthread_exit", "PR_Assert", "PR_Abort"}
)


class Step(NamedTuple):
    """What an instruction does to the flow: it goes on at `target` (None: nobody knows where)."""

    kind: str
    """next, call, jump or end"""
    target: Value | None = None


NEXT = Step("next")
END = Step("end")


class Machine(Protocol):
    """The instructions of an architecture."""

    def step(self, instruction: capstone.CsInsn) -> Step:
        """Execute an instruction; what a called function does is not part of it."""


class Call(NamedTuple):
    """A call, or a jump out of the function. `target` is None if it is not known."""

    address: int
    target: Address | SymbolAddress | None

    @property
    def name(self) -> str | None:
        """The function's name, if the loader binds it by one."""
        return self.target.name if isinstance(self.target, SymbolAddress) else None

    @property
    def never_returns(self) -> bool:
        """Whether the function is known for that."""
        return self.name in _NEVER_RETURN


@dataclass(frozen=True)
class Outcome:
    """What the line of code did.

    `stored`: (size in bytes, value) by link-time address; each is what was stored there last.
    """

    stored: Mapping[int, tuple[int, Value]]
    calls: tuple[Call, ...]

    def word(self, address: int) -> Value | None:
        """The 8 bytes that were stored at an address."""
        size, value = self.stored.get(address, (0, None))
        return value if size == WORD else None

    def number(self, address: int, size: int) -> int | None:
        """The number that was stored at an address, in an integer of this size or a larger one."""
        stored, value = self.stored.get(address, (0, None))
        if not isinstance(value, Number) or stored < size:
            return None
        return value.value & (1 << size * 8) - 1


def execute(image: ElfImage, relocations: Relocations, function: Bounds) -> Outcome:
    """Run a function from its entry, at most MAX_INSTRUCTIONS instructions in its first MAX_FUNCTION bytes.

    :raise ElfError: if there is no code at the function's start, or the image is malformed.
    """
    if not image.is_code(function.start):
        raise image.error(f"address {function.start:#x} is not in an executable segment")
    code = image.read(function.start, min(function.end - function.start, MAX_FUNCTION))
    end = function.start + len(code)
    state, machine = _machine(image, relocations)
    calls: list[Call] = []
    address = function.start
    for _ in range(MAX_INSTRUCTIONS):
        position = address - function.start
        window = code[position : position + LONGEST_INSTRUCTION]
        instruction = next(disassembler(image.machine, True).disasm(window, address, 1), None)
        if instruction is None:
            break
        step = machine.step(instruction)
        address += instruction.size
        target = step.target.value if isinstance(step.target, Address) else None
        if step.kind == "jump" and target is not None and function.start <= target < end:
            if target < address:
                break
            address = target
            continue
        if step.kind in ("call", "jump"):
            calls.append(Call(instruction.address, _callee(image, relocations, step.target)))
        if step.kind in ("jump", "end") or (calls and calls[-1].never_returns):
            break
        if step.kind == "call":
            state.call(calls[-1].name)
    return Outcome(state.stored.cells, tuple(calls))


def _machine(image: ElfImage, relocations: Relocations) -> tuple[State, Machine]:
    constants = Constants(image, relocations)
    # They import capstone, which takes 30 ms.
    if image.machine == "x86_64":
        from tlstap.discovery import straight_line_x86

        state = State(constants, straight_line_x86.CONVENTION)
        return state, straight_line_x86.X86(state)
    from tlstap.discovery import straight_line_aarch64

    state = State(constants, straight_line_aarch64.CONVENTION)
    return state, straight_line_aarch64.Aarch64(state)


def _callee(
    image: ElfImage, relocations: Relocations, target: Value | None
) -> Address | SymbolAddress | None:
    """The function itself, if the target is a stub that leads to it."""
    if isinstance(target, Address):
        slot = stub_slot(image, target.value)
        name = relocations.slots.get(slot) if slot is not None else None
        return SymbolAddress(name) if name is not None else target
    return target if isinstance(target, SymbolAddress) else None
