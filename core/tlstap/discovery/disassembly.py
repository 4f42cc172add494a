"""What the code of a function says: its first instruction, and the functions that it calls."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from tlstap.discovery.imports import in_plt_section, stub_slot
from tlstap.errors import ElfError

if TYPE_CHECKING:
    import capstone

    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.symbols import Symbol

MAX_FUNCTION = 64 << 10
"""Bytes of code that `call_targets` looks at."""

ENDBR64 = b"\xf3\x0f\x1e\xfa"
LONGEST_INSTRUCTION = 15

# Instructions that the kernel emulates instead of single-stepping them, on every x86-64 kernel from 5.10
# on (arch/x86/kernel/uprobes.c: branch_setup_xol_ops, push_setup_xol_ops): nop, push, jmp, jcc, call.
# Newer kernels emulate some more. A 66 prefix is only allowed before nop.
_EMULATED_X86 = re.compile(
    rb"\x66*\x90|\x41?[\x50-\x57]|[\xf2\xf3\x2e\x3e]?(?:[\xeb\xe9\xe8\x70-\x7f]|\x0f[\x80-\x8f])", re.DOTALL
)
# Perhaps endbr64, then `push n` and a jump to the resolver.
_LAZY_STUB_X86 = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\x68....\xf2?\xe9", re.DOTALL)
_ARGUMENT_REGISTERS: dict[str, tuple[frozenset[str], ...]] = {
    "x86_64": (
        frozenset({"rdi", "edi", "di", "dil"}),
        frozenset({"rsi", "esi", "si", "sil"}),
        frozenset({"rdx", "edx", "dx", "dl", "dh"}),
        frozenset({"rcx", "ecx", "cx", "cl", "ch"}),
        frozenset({"r8", "r8d", "r8w", "r8b"}),
        frozenset({"r9", "r9d", "r9w", "r9b"}),
    ),
    "aarch64": tuple(frozenset({f"x{number}", f"w{number}"}) for number in range(6)),
}
_MAX_STRAIGHT = 128


class FirstInstruction(NamedTuple):
    """`text` is the instruction at `address`, where a probe goes; behind endbr64, if the function has one.

    `emulated`: a hit of a probe there costs no single step (x86-64; False on aarch64).
    """

    address: int
    text: str
    emulated: bool


@cache
def disassembler(machine: str, detail: bool = False) -> capstone.Cs:
    """Capstone for a machine; with `detail`, instructions have operands."""
    import capstone  # 30 ms, which a start with a warm cache does not need

    architecture, mode = (
        (capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        if machine == "x86_64"
        else (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    )
    decoder = capstone.Cs(architecture, mode)
    decoder.detail = detail
    return decoder


def first_instruction(image: ElfImage, address: int) -> FirstInstruction:
    """The instruction at which a probe for the function at `address` is placed.

    A leading endbr64 is skipped: the stack pointer and the arguments are the same behind it, so a return
    probe stays valid, and the instruction after it is often one that the kernel emulates. On aarch64
    nothing is skipped: behind `bti` there is nothing to gain, and behind `paciasp` the return address is
    signed, so a return probe would crash the program.

    :raise ElfError: if there is no code at the address.
    """
    if not image.is_code(address):
        raise image.error(f"address {address:#x} is not in an executable segment")
    code = image.read(address, len(ENDBR64) + LONGEST_INSTRUCTION)
    if image.machine == "x86_64" and code.startswith(ENDBR64):
        address, code = address + len(ENDBR64), code[len(ENDBR64) :]
    for _, size, mnemonic, operands in disassembler(image.machine).disasm_lite(code, address, 1):
        emulated = image.machine == "x86_64" and _EMULATED_X86.match(code[:size]) is not None
        return FirstInstruction(address, f"{mnemonic} {operands}".strip(), emulated)
    raise image.error(f"no valid instruction at {address:#x}")


def call_targets(image: ElfImage, function: Symbol) -> frozenset[int]:
    """Where a function's direct calls go, and its direct jumps out of itself (tail calls).

    Stubs of the procedure linkage table are left out: what they lead to is in another image.

    :raise ElfError: if the function's code is not all there, or too large to be looked at.
    """
    start, end = function.address, function.address + function.size
    if not 0 < function.size <= MAX_FUNCTION:
        raise image.error(f"{function.name} has {function.size} bytes")
    code = image.read(start, function.size)
    targets = set()
    decoded = start
    for address, size, mnemonic, operands in disassembler(image.machine).disasm_lite(code, start):
        decoded = address + size
        target = _branch_target(mnemonic, operands)
        if target is not None and not start <= target < end and not is_plt_stub(image, target):
            targets.add(target)
    if decoded != end:
        raise image.error(f"{function.name} has no valid instruction at {decoded:#x}")
    return frozenset(targets)


def passes_arguments_on(image: ElfImage, function: Symbol, target: int, count: int) -> bool:
    """Whether a function, before anything else, calls (or jumps to) `target` with its own first arguments.

    True only if the straight line from its entry ends in that call and writes none of the argument
    registers on the way: then `target` takes the same `count` arguments in the same places.
    """
    import capstone

    registers = _ARGUMENT_REGISTERS[image.machine][:count]
    code = image.read(function.address, min(function.size, _MAX_STRAIGHT))
    for instruction in disassembler(image.machine, True).disasm(code, function.address):
        if instruction.group(capstone.CS_GRP_JUMP) or instruction.group(capstone.CS_GRP_CALL):
            unconditional = instruction.mnemonic.removeprefix("bnd ") in ("call", "jmp", "bl", "b")
            return unconditional and _branch_target(instruction.mnemonic, instruction.op_str) == target
        if instruction.group(capstone.CS_GRP_RET):
            return False
        _, written = instruction.regs_access()
        if any(instruction.reg_name(register) in names for register in written for names in registers):
            return False
    return False


def _branch_target(mnemonic: str, operands: str) -> int | None:
    """The address that a direct call or jump goes to."""
    mnemonic = mnemonic.removeprefix("bnd ").removeprefix("notrack ")
    if not (mnemonic.startswith(("j", "call")) or mnemonic in ("bl", "b") or mnemonic.startswith("b.")):
        return None
    text = operands.removeprefix("#")
    if not text.startswith("0x"):
        return None
    try:
        return int(text, 16)
    except ValueError:
        return None


def is_plt_stub(image: ElfImage, address: int) -> bool:
    """Whether a procedure linkage table's stub is at the address, by the sections or by its code."""
    if in_plt_section(image, address) or stub_slot(image, address) is not None:
        return True
    if image.machine != "x86_64":
        return False
    try:
        return _LAZY_STUB_X86.match(image.read(address, 16)) is not None
    except ElfError:
        return False
