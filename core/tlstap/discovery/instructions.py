"""Decodes instructions, and says of each where it leads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from tlstap.discovery.disassembly import disassembler

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

Flow = Literal["next", "branch", "jump", "call", "end"]
"""How it goes on: at the next instruction; there or at `target` (branch, call); only at `target` (jump, None
where that is computed); not at all (end)."""

_PREFIXES = ("bnd ", "notrack ")
_ENDS = {
    "x86_64": frozenset({"ret", "repz ret", "retf", "ud2", "ud1", "ud0", "int3", "hlt", "iretq"}),
    "aarch64": frozenset({"ret", "retaa", "retab", "eret", "brk", "udf", "hlt"}),
}
_CALLS = frozenset({"call", "bl", "blr", "blraa", "blraaz", "blrab", "blrabz"})
_JUMPS = frozenset({"jmp", "b", "br", "braa", "braaz", "brab", "brabz"})
_BRANCHES = re.compile(r"j[a-z]+|loop[a-z]*|b\.[a-z]+|bc\.[a-z]+|cbn?z|tbn?z")
_TARGET = re.compile(r"#?(0x[0-9a-f]+|[0-9]+)")
_PADDING_X86 = re.compile(r"(data16 )*(cs )?nop[wl]?|int3|xchg")


class Instruction(NamedTuple):
    """`operands` as Capstone writes them."""

    address: int
    size: int
    name: str
    operands: str
    flow: Flow
    target: int | None

    @property
    def next(self) -> int:
        """The address behind it."""
        return self.address + self.size


def decode(image: ElfImage, start: int, end: int) -> Iterator[Instruction]:
    """The instructions from an address on, up to the end or to what is none.

    :raise ElfError: if no loaded segment has the address.
    """
    code = image.read(start, max(0, end - start))
    machine = image.machine
    for address, size, mnemonic, operands in disassembler(machine).disasm_lite(code, start):
        name, flow = _meaning(machine, mnemonic)
        target = None if flow in ("next", "end") else _target(operands)
        yield Instruction(address, size, name, operands, flow, target)


@cache
def _meaning(machine: str, mnemonic: str) -> tuple[str, Flow]:
    """The name without prefixes, and how such an instruction goes on."""
    name = mnemonic
    while name.startswith(_PREFIXES):
        name = name.partition(" ")[2]
    if name in _CALLS:
        return name, "call"
    if name in _JUMPS:
        return name, "jump"
    if name in _ENDS[machine]:
        return name, "end"
    return name, "branch" if _BRANCHES.fullmatch(name) else "next"


def is_padding(instruction: Instruction) -> bool:
    """Whether it stands between functions, or before the head of a loop, and does nothing."""
    if instruction.name == "xchg":
        return instruction.operands == "ax, ax"
    return _PADDING_X86.fullmatch(instruction.name) is not None or instruction.name in ("udf", "hint")


def _target(operands: str) -> int | None:
    """The address at the end of the operands, if that is one."""
    match = _TARGET.fullmatch(operands.rpartition(",")[2].strip())
    return int(match[1], 0) if match else None
