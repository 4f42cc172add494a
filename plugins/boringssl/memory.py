"""Which words of structs a function reads and writes: [register + distance], apart from its own stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tlstap.discovery.call_arguments import Code

WORD = 8

_NUMBER = r"(?:0x[0-9a-f]+|\d+)"
_X86 = re.compile(
    rf"(?P<first>\w+, )?(?P<size>q|xmm)word ptr "
    rf"\[(?P<base>\w+)(?: \+ (?P<distance>{_NUMBER}))?\](?:, .+)?"
)
_X86_READ_ONLY = re.compile(r"cmp|test|push|call|jmp|bt")
_A64 = re.compile(
    rf"(?P<first>[xq]\d+|xzr)(?P<second>, (?:x\d+|xzr|q\d+))?, "
    rf"\[(?P<base>x\d+)(?:, #(?P<distance>{_NUMBER}))?\]"
)
_STACK = frozenset({"rsp", "sp", "x29", "x31"})


class Words(NamedTuple):
    """Distances of 8-byte words from a register."""

    read: frozenset[int]
    written: frozenset[int]


def words(code: Code) -> Words:
    """The words that a function reads and writes. A write of part of a word is none."""
    read: set[int] = set()
    written: set[int] = set()
    frame = _frame_pointer(code)
    for one in code.instructions.values():
        reads, writes = _x86(one.name, one.operands, frame) or _aarch64(one.name, one.operands, frame)
        read.update(reads)
        written.update(writes)
    return Words(frozenset(read), frozenset(written))


def _frame_pointer(code: Code) -> str | None:
    """rbp, if the function uses it for its stack."""
    uses = any((one.name, one.operands) == ("mov", "rbp, rsp") for one in code.instructions.values())
    return "rbp" if uses else None


_Accesses = tuple[set[int], set[int]]


def _x86(name: str, operands: str, frame: str | None) -> _Accesses | None:
    match = _X86.fullmatch(operands)
    if match is None or match["base"] in (*_STACK, frame, "rip"):
        return None
    distance = int(match["distance"] or "0", 0)
    touched = {distance, distance + WORD} if match["size"] == "xmm" else {distance}
    if match["first"]:  # the destination is a register
        return touched, set()
    if _X86_READ_ONLY.match(name):
        return touched, set()
    return (set() if "mov" in name else touched), touched


def _aarch64(name: str, operands: str, frame: str | None) -> _Accesses:
    match = _A64.fullmatch(operands)
    if (
        match is None
        or match["base"] in _STACK
        or not name.startswith(("ldr", "ldp", "str", "stp", "ldur", "stur"))
    ):
        return set(), set()
    distance = int(match["distance"] or "0", 0)
    size = 2 * WORD if match["first"].startswith("q") else WORD
    touched = set(range(distance, distance + size * (2 if match["second"] else 1), WORD))
    return (touched, set()) if name.startswith("ld") else (set(), touched)
