"""What a function passes to those that it calls."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path

import pytest
from tests.unit.discovery.assembled import assemble
from tests.unit.discovery.dynamic_elves import AARCH64, CODE, DATA, X86_64, dynamic_image

from tlstap.discovery.call_arguments import Code, read_code
from tlstap.discovery.constants import OWN_ARGUMENTS
from tlstap.discovery.functions import Functions
from tlstap.discovery.unwind import Bounds

OWN = OWN_ARGUMENTS
Values = tuple[int | None, ...]
EVERYTHING = (*OWN,)


def called(folder: Path, body: str) -> list[Values]:
    """What a function with this body passes to `callee`, in the order of the calls; sorted for each."""
    image, labels = assemble(folder, f"function: {body}; ret; end: .balign 16; callee: ret; text: .byte 0")
    with image:
        functions = Functions(image, [labels["function"]])
        code = read_code(image, functions, Bounds(labels["function"], labels["end"]))
        calls = [call for call in code.calls if call.target == labels["callee"]]
    named = {labels["text"]: -1}
    return [tuple(named.get(value, value) if value else value for value in call.arguments) for call in calls]


def first(folder: Path, body: str, count: int = 1) -> Values:
    (values,) = called(folder, body)
    return values[:count]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("mov edi, 5", 5),
        ("mov rdi, -2", 0xFFFFFFFFFFFFFFFE),
        ("mov edi, -2", 0xFFFFFFFE),
        ("movabs rdi, 0x123456789a", 0x123456789A),
        ("xor edi, edi", 0),
        ("sub rdi, rdi", 0),
        ("or edi, -1", 0xFFFFFFFF),
        ("or rdi, -1", 0xFFFFFFFFFFFFFFFF),
        ("push 100; pop rdi", 100),
        ("push 3; push 4; pop rsi; pop rdi", 3),
        ("lea rdi, [rip + text]", -1),
        ("mov eax, 7; lea rdi, [rax + 2]", 9),
        ("mov eax, 7; lea edi, [rax - 8]", 0xFFFFFFFF),
        ("mov eax, -5; movsxd rdi, eax", 0xFFFFFFFFFFFFFFFB),
        ("mov eax, 5; cdqe; mov rdi, rbx", None),
        ("mov eax, 6; mov edi, eax; mov eax, 5", 6),
        ("mov edi, 5; mov dil, 1", None),
        ("mov edi, 5; mov di, 1", None),
        ("mov edi, 5; add edi, 1", None),
        ("mov edi, 5; movzx edi, dil", None),
        ("mov edi, 5; cmovne edi, esi", None),
        ("mov edi, 5; sete dil", None),
        ("mov edi, 5; mov rdi, [rsi]", None),
        ("mov edi, 5; pop rdi", None),
        ("mov edi, 5; cpuid", None),
        ("mov edi, 5; xchg rdi, rax", None),
        ("mov edi, 5; imul rdi", None),
        ("mov edi, 5; rep stosb", None),
        ("mov edi, 5; movsb", None),
        ("mov edi, 5; movsq", None),
        ("mov edi, 5; stosd", None),
        ("mov edi, 5; cmp edi, esi; test edi, edi; nop; endbr64; prefetcht0 [rdi]", 5),
        ("mov edi, 5; mov [rsi], edi; movups [rsi], xmm0; add qword ptr [rsi], 8; inc dword ptr [rsi]", 5),
        ("mov edi, 5; pxor xmm0, xmm0; movdqa xmm1, xmm0; addsd xmm0, xmm1", 5),
        ("mov edi, 5; push rdi; push rsi; pop rsi; pop rdi", 5),
        ("push 5; add rsp, 8; push rbx; pop rdi", None),
        ("push 5; mov [rsp], rbx; pop rdi", None),
    ],
)
def test_a_constant(tmp_path: Path, body: str, value: int | None) -> None:
    assert first(tmp_path, f"{body}; call callee") == (value,)


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ("", EVERYTHING),
        ("mov rbx, rdi; mov rdi, rsi; mov rsi, rbx", (OWN[1], OWN[0], *OWN[2:])),
        ("mov ebp, edx; movsxd r8, ebp", (*OWN[:4], OWN[2], OWN[5])),
        ("add rdi, 8", (None, *OWN[1:])),
        ("lea rdi, [rdi + 8]", (None, *OWN[1:])),
        ("lea rdi, [rdi]", EVERYTHING),
        ("and edx, 15", (*OWN[:2], None, *OWN[3:])),
        ("movzx edx, dl", (*OWN[:2], None, *OWN[3:])),
        ("push rdi; pop rsi", (OWN[0], OWN[0], *OWN[2:])),
    ],
)
def test_own_arguments(tmp_path: Path, body: str, values: Values) -> None:
    assert first(tmp_path, f"{body}; call callee", 6) == values


SPILLED = "push rbp; mov rbp, rsp; sub rsp, 64; mov [rbp - 24], rdi; mov [rbp - 28], esi"
RELOAD = "mov rdi, [rbp - 24]; mov esi, [rbp - 28]; call callee; leave"


@pytest.mark.parametrize(
    ("between", "values"),
    [
        ("mov rdi, rbx; mov rsi, rbx", OWN[:2]),
        ("mov [rbp - 16], rbx; mov dword ptr [rbp - 32], 5; mov byte ptr [rbp - 33], 1", OWN[:2]),
        ("mov [rbp - 24], rbx", (None, OWN[1])),
        ("mov byte ptr [rbp - 17], 1", (None, OWN[1])),
        ("mov dword ptr [rbp - 28], 1", (OWN[0], None)),
        ("mov qword ptr [rbp - 32], 1", (OWN[0], None)),
        ("inc dword ptr [rbp - 28]", (None, None)),
        ("mov [rbp - 20], ebx", (None, OWN[1])),
        ("movups [rbp - 40], xmm0", (None, None)),
        ("call other; mov [rbx], rax", OWN[:2]),
        ("lea rdi, [rbp - 16]; call other", OWN[:2]),
        ("lea rdi, [rbp - 24]; call other", (None, OWN[1])),
        ("lea rdi, [rbp - 28]; mov [rdi], rbx", (None, None)),
        ("mov rax, rsp; mov [rax], rbx", OWN[:2]),
        ("mov rax, rsp; mov [rdx], rbx", (None, None)),
        ("mov rdi, rsp; call other", (None, None)),
        ("push rbx; push rbx; call other; add rsp, 16", OWN[:2]),
        ("lea rsp, [rbp - 40]; push rbx", OWN[:2]),
        ("lea rsp, [rbp - 16]; push rbx", (None, OWN[1])),
        ("and rsp, -32; mov [rsp + 8], rbx; push rbx", OWN[:2]),
        ("cpuid", (None, None)),
    ],
)
def test_arguments_that_wait_on_the_stack(tmp_path: Path, between: str, values: Values) -> None:
    assert first(tmp_path, f"{SPILLED}; {between}; {RELOAD}; ret; other: nop", 2) == values


def test_addresses_of_the_stack_are_no_constants(tmp_path: Path) -> None:
    assert (
        first(tmp_path, "lea rdi, [rsp + 8]; mov rsi, rsp; push rsp; pop rdx; call callee", 3) == (None,) * 3
    )


def test_a_call_leaves_only_what_callees_keep(tmp_path: Path) -> None:
    body = "mov rbx, rdi; mov r12d, 7; call callee; mov rdx, rbx; mov ecx, r12d; call callee"
    before, after = called(tmp_path, body)
    assert before == EVERYTHING
    assert after == (None, None, OWN[0], 7, None, None)


def test_calls_whose_ends_are_one(tmp_path: Path) -> None:
    """Compilers merge what several calls have in common."""
    body = """
        test edi, edi; je 1f; cmp edi, 3; je 2f; mov edx, 226; mov r8d, 100; jmp 3f
        1: mov edx, 215; push 90; pop r8; jmp 3f
        2: mov edx, 66; mov r8d, 95
        3: mov edi, 16; xor esi, esi; lea rcx, [rip + text]; call callee"""
    assert {values[:5] for values in called(tmp_path, body)} == {
        (16, 0, 226, -1, 100),
        (16, 0, 215, -1, 90),
        (16, 0, 66, -1, 95),
    }


def test_a_loop(tmp_path: Path) -> None:
    """Around again, other things are known."""
    values = called(tmp_path, "mov edi, 1; 1: call callee; mov edi, 2; mov rbx, rsi; test eax, eax; jne 1b")
    assert {value[:2] for value in values} == {(1, OWN[1]), (2, None)}


def test_a_jump_out_is_a_call(tmp_path: Path) -> None:
    assert called(tmp_path, "mov edi, 3; jmp callee")[0][:2] == (3, OWN[1])


def test_what_only_a_table_leads_to(tmp_path: Path) -> None:
    """Nothing is known of its registers but what it sets."""
    values = called(tmp_path, "mov edi, 1; mov esi, 2; jmp rax; mov edi, 3; call callee")
    assert values == [(3, None, None, None, None, None)]


def test_too_many_ways(tmp_path: Path) -> None:
    """Then all is unknown, instead of one of them."""
    cases = "".join(
        f"cmp edi, {case}; jne {case}f; mov esi, {case + 1000}; jmp 999f; {case}:" for case in range(1, 90)
    )
    values = called(tmp_path, f"{cases} mov esi, 0; 999: call callee")
    known = {value[1] for value in values if value[1] is not None}
    assert 10 < len(known) < 60 and any(value[1] is None for value in values)


def read(image: object, code: bytes, machine: int) -> Code:
    del image
    elf = dynamic_image(code, machine)
    return read_code(elf, Functions(elf, [CODE]), Bounds(CODE, CODE + len(code)))


def test_calls_through_pointers(tmp_path: Path) -> None:
    image, labels = assemble(
        tmp_path, "function: mov edi, 4; call [rax + 8]; mov rdi, rbx; mov esi, 5; jmp rax; end: nop"
    )
    with image:
        bounds = Bounds(labels["function"], labels["end"])
        code = read_code(image, Functions(image, [bounds.start]), bounds)
    assert code.through_pointers == {(4, *OWN[1:]), (None, 5, None, None, None, None)}
    assert code.calls == () and code.calls_of(labels["end"]) == []


def test_a_part_that_was_moved_away(tmp_path: Path) -> None:
    source = """
        .balign 16; function: mov ebx, 7; test edi, edi; je cold; back: ret; end:
        .balign 16; other: ret
        .balign 16; cold: mov edi, ebx; call callee; jmp back
        .balign 16; callee: ret
        .balign 16; calls: call function; call function; call other; call other; call callee; call callee; ret
    """
    image, labels = assemble(tmp_path, source)
    with image:
        functions = Functions(image, [labels["function"]])
        owner = functions.owner(labels["cold"])
        assert owner is not None and owner.start == labels["function"]
        (call,) = read_code(image, functions, owner).calls
    assert call.target == labels["callee"] and call.arguments[0] == 7


# aarch64

BL, RET = 0x94000400, 0xD65F03C0


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], OWN[:2]),
        ([0x528000A0], (5, OWN[1])),  # mov w0, #5
        ([0x92800020], (0xFFFFFFFFFFFFFFFE, OWN[1])),  # mov x0, #-2
        ([0x52824680, 0x72A00020], (0x11234, OWN[1])),  # mov w0, #0x1234; movk w0, #1, lsl #16
        ([0x2A1F03E0], (0, OWN[1])),  # mov w0, wzr
        ([0xAA0103E0], (OWN[1], OWN[1])),  # mov x0, x1
        ([0x93407C41, 0x93407C20], (OWN[2], OWN[2])),  # sxtw x1, w2; sxtw x0, w1
        ([0x90000080, 0x91008000], (DATA + 0x20, OWN[1])),  # adrp x0, DATA; add x0, x0, #0x20
        ([0x91002000], (None, OWN[1])),  # add x0, x0, #8
        ([0xF9400000], (None, OWN[1])),  # ldr x0, [x0]
        ([0xA9400440], (None, None)),  # ldp x0, x1, [x2]
        ([0xF8408401], (None, None)),  # ldr x1, [x0], #8
        ([0xF9000001], OWN[:2]),  # str x1, [x0]
        ([0xF8008C01], (None, OWN[1])),  # str x1, [x0, #8]!
        ([0xEB01001F, 0xD503201F, 0xD503245F], OWN[:2]),  # cmp x0, x1; nop; bti c
        ([0xAA0003F3, 0x94000100, 0xAA1303E0], (OWN[0], None)),  # mov x19, x0; bl; mov x0, x19
        ([0xAA0003F3, 0xD63F0100, 0xAA1303E0], (OWN[0], None)),  # the same with blr x8
    ],
)
def test_arguments_on_aarch64(words: list[int], values: Values) -> None:
    content = struct.pack(f"<{len(words) + 2}I", *words, BL, RET)
    calls = read(None, content, AARCH64).calls
    assert calls[-1].target == CODE + 4 * len(words) + 0x1000
    assert calls[-1].arguments[:2] == values


# Hostile code


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
def test_any_bytes(machine: int) -> None:
    chance = random.Random(machine)
    for size in (1, 64, 4096):
        code = read(None, chance.randbytes(size), machine)
        assert {call.address for call in code.calls} <= code.instructions.keys()
        assert all(len(call.arguments) == 6 for call in code.calls)


def test_branches_everywhere_take_no_time() -> None:
    """Each instruction can be reached in countless ways."""
    chance = random.Random(5)
    code = b"".join(
        struct.pack("<BI", 0xB8 + chance.choice([0, 1, 2, 6, 7]), chance.randrange(1 << 31))
        + bytes((0x74, chance.randrange(0, 120)))
        for _ in range(3000)
    )
    start = time.monotonic()
    read(None, code, X86_64)
    assert time.monotonic() - start < 10
