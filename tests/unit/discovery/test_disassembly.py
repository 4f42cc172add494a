from __future__ import annotations

import struct

import pytest
from tests.unit.discovery.elves import AARCH64, BASE, X86_64, elf_image

from tlstap.discovery.disassembly import call_targets, first_instruction, is_plt_stub, passes_arguments_on
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.symbols import Symbol
from tlstap.errors import ElfError

ENDBR64 = b"\xf3\x0f\x1e\xfa"
PUSH_RBX, RET, SUB_RSP_8 = b"\x53", b"\xc3", b"\x48\x83\xec\x08"


def words(*instructions: int) -> bytes:
    return struct.pack(f"<{len(instructions)}I", *instructions)


NOP, RET_A, BTI_C, PACIASP, STP = 0xD503201F, 0xD65F03C0, 0xD503245F, 0xD503233F, 0xA9BF7BFD


def bl(distance: int) -> int:
    return 0x94000000 | distance >> 2 & 0x3FFFFFF


def b(distance: int) -> int:
    return 0x14000000 | distance >> 2 & 0x3FFFFFF


def call(distance: int, opcode: int = 0xE8) -> bytes:
    """A call, or with 0xe9 a jump, of five bytes; the distance counts from its start."""
    return struct.pack("<Bi", opcode, distance - 5)


def function(image: ElfImage, name: str = "function") -> Symbol:
    return image.symbols([name])[name]


@pytest.mark.parametrize(
    ("code", "text", "emulated"),
    [
        (PUSH_RBX, "push rbx", True),
        (b"\x41\x54", "push r12", True),
        (b"\x90", "nop", True),
        (b"\x66\x90", "nop", True),
        (call(0x20), "call 0x10020", True),
        (call(0x20, 0xE9), "jmp 0x10020", True),
        (b"\xeb\x10", "jmp 0x10012", True),
        (b"\x74\x10", "je 0x10012", True),
        (b"\x0f\x84\x10\x00\x00\x00", "je 0x10016", True),
        (SUB_RSP_8, "sub rsp, 8", False),
        (b"\x31\xc0", "xor eax, eax", False),
        (RET, "ret", False),
        (b"\x0f\x1f\x00", "nop dword ptr [rax]", False),
        (b"\xff\x35\x00\x00\x00\x00", "push qword ptr [rip]", False),
        (b"\x48\x53", "push rbx", False),
    ],
)
def test_first_instruction(code: bytes, text: str, emulated: bool) -> None:
    with elf_image(code + RET * 16) as image:
        assert first_instruction(image, BASE) == (BASE, text, emulated)


def test_a_probe_goes_behind_endbr64() -> None:
    with elf_image(ENDBR64 + PUSH_RBX + RET) as image:
        assert first_instruction(image, BASE) == (BASE + 4, "push rbx", True)


def test_nothing_is_skipped_on_aarch64() -> None:
    for word, text in ((BTI_C, "bti c"), (PACIASP, "paciasp")):
        with elf_image(words(word, STP, RET_A), AARCH64) as image:
            assert first_instruction(image, BASE) == (BASE, text, False)


def test_no_instruction() -> None:
    with elf_image(b"\x06" + RET * 15) as image:
        with pytest.raises(ElfError, match="no valid instruction at 0x10000"):
            first_instruction(image, BASE)
        with pytest.raises(ElfError, match="not in an executable segment"):
            first_instruction(image, 0)


def test_call_targets_are_calls_and_jumps_out_of_the_function() -> None:
    code = call(0x40) + b"\x74\xf9" + call(0x50 - 7, 0xE9) + b"\xff\xd0" + call(-14 + 5, 0xE9)
    with elf_image(code + RET * 0x60, functions=[("function", 0, len(code))]) as image:
        assert call_targets(image, function(image)) == {BASE + 0x40, BASE + 0x50}


def test_call_targets_on_aarch64() -> None:
    code = words(STP, bl(0x3C), b(-4), b(0x44), RET_A)
    with elf_image(code + words(*[RET_A] * 20), AARCH64, [("function", 0, len(code))]) as image:
        assert call_targets(image, function(image)) == {BASE + 0x40, BASE + 0x50}


@pytest.mark.parametrize(
    "stub",
    [
        b"\xff\x25\x10\x00\x00\x00",
        ENDBR64 + b"\xff\x25\x10\x00\x00\x00",
        ENDBR64 + b"\xf2\xff\x25\x10\x00\x00\x00",
        ENDBR64 + b"\x68\x01\x00\x00\x00\xf2\xe9\x00\x00\x00\x00",
    ],
)
def test_stubs_of_the_linkage_table_are_no_targets(stub: bytes) -> None:
    code = call(0x10) + RET * 11 + stub + RET * 16
    with elf_image(code, functions=[("function", 0, 6)]) as image:
        assert is_plt_stub(image, BASE + 0x10)
        assert not is_plt_stub(image, BASE)
        assert call_targets(image, function(image)) == frozenset()


def test_stubs_on_aarch64() -> None:
    stub = words(0x90000010, 0xF9400211, 0x91000210, 0xD61F0220)
    for start in (b"", words(BTI_C)):
        code = words(STP, bl(12), RET_A, NOP) + start + stub
        with elf_image(code, AARCH64, [("function", 0, 12)]) as image:
            assert is_plt_stub(image, BASE + 0x10)
            assert not is_plt_stub(image, BASE)


def test_functions_that_are_too_large_or_not_code_are_refused() -> None:
    with elf_image(RET * 4 + b"\x06" + RET * 4, functions=[("function", 0, 9), ("empty", 0, 0)]) as image:
        with pytest.raises(ElfError, match="no valid instruction at 0x10004"):
            call_targets(image, function(image))
        with pytest.raises(ElfError, match="empty has 0 bytes"):
            call_targets(image, function(image, "empty"))
        with pytest.raises(ElfError, match="1000000 bytes"):
            call_targets(image, function(image)._replace(size=1_000_000))


CALL = {X86_64: call(0x40), AARCH64: words(bl(0x40))}
JUMP = {X86_64: call(0x40, 0xE9), AARCH64: words(b(0x40))}
PADDING = {X86_64: RET, AARCH64: words(RET_A)}


@pytest.mark.parametrize(
    ("machine", "before", "branch", "count", "expected"),
    [
        (X86_64, ENDBR64 + SUB_RSP_8, CALL, 4, True),
        (X86_64, b"", JUMP, 4, True),
        (X86_64, b"\x31\xc0", CALL, 4, True),  # eax is no argument
        (X86_64, b"\x31\xc9", CALL, 4, False),  # ecx is the fourth
        (X86_64, b"\x31\xc9", CALL, 3, True),
        (X86_64, b"\x49\x89\xc8", CALL, 4, True),  # mov r8, rcx
        (X86_64, b"\x49\x89\xc8", CALL, 5, False),
        (X86_64, b"\x40\xb7\x01", CALL, 4, False),  # mov dil, 1
        (X86_64, b"\x48\x85\xff\x74\x01", CALL, 4, False),  # test rdi, rdi; je
        (X86_64, b"\xff\xd0", CALL, 4, False),  # call rax comes first
        (X86_64, b"\xc3", CALL, 4, False),
        (AARCH64, words(PACIASP, STP), CALL, 4, True),
        (AARCH64, b"", JUMP, 4, True),
        (AARCH64, words(0xD2800023), CALL, 4, False),  # mov x3, 1
        (AARCH64, words(0xD2800023), CALL, 3, True),
        (AARCH64, words(0x52800020), CALL, 4, False),  # mov w0, 1
        (AARCH64, words(0xB4000040), CALL, 4, False),  # cbz x0
    ],
)
def test_passes_arguments_on(
    machine: int, before: bytes, branch: dict[int, bytes], count: int, expected: bool
) -> None:
    code = before + branch[machine]
    target = BASE + len(before) + 0x40
    padding = PADDING[machine] * 64
    with elf_image(code + padding, machine, [("function", 0, len(code))]) as image:
        assert passes_arguments_on(image, function(image), target, count) is expected
        assert not passes_arguments_on(image, function(image), target + 16, count)
