"""Pieces of x86-64 code, in Intel syntax, and at which offsets in `out` it must be known what they store.

Each starts with rdi = &out and rsi = &function. `numbers` holds 1, 2, 3, ... and `pointers` &function, 0,
&out, &function, both read-only; `variable` and `variable_pointer` can be written. What is not listed
must be unknown; what is known must be true, which the processor decides.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

PROLOGUE = "lea rdi, [rip+out]; lea rsi, [rip+function]"

LIBRARY = """
    .intel_syntax noprefix
    .bss; .balign 64; .type out, @object; .size out, 256; out: .zero 256
    .data; .balign 8; variable: .quad 0; variable_pointer: .quad function
    .section .data.rel.ro, "aw"; .balign 32; pointers: .quad function, 0, out, function
    .section .rodata; .balign 32; numbers: .quad 1, 2, 3, 4, 5, 6
    .text; .globl where; where: lea rax, [rip+out]; ret
    function: ret
    callee: lea rax, [rip+numbers]; mov rdx, rax; mov rsi, rax; pxor xmm0, xmm0; ret
"""

Piece = tuple[str, set[int]]

GENERAL: list[Piece] = [
    ("mov qword ptr [rdi], rsi; mov qword ptr [rdi+8], -2; mov dword ptr [rdi+16], 4", {0, 8, 16}),
    ("mov eax, -2; mov [rdi], rax; mov rax, -2; mov [rdi+8], rax", {0, 8}),
    ("movabs rax, 0x1122334455667788; mov [rdi], rax; mov [rdi+8], eax; mov [rdi+12], ax", {0, 8, 12}),
    (
        "mov byte ptr [rdi], 7; mov word ptr [rdi+2], 0x1234; movzx eax, byte ptr [rdi]; mov [rdi+8], rax",
        {0, 2, 8},
    ),
    ("movabs rax, 0x1122334455667788; mov [rdi], rax; movzx eax, word ptr [rdi+2]; mov [rdi+8], rax", {0, 8}),
    ("mov qword ptr [rdi], 1; mov dword ptr [rdi+4], 5", {4}),
    ("mov [rdi], esi; mov [rdi+8], si; mov [rdi+16], sil", set()),
    ("xor eax, eax; mov [rdi], rax; sub rcx, rcx; mov [rdi+8], rcx; mov eax, esi; mov [rdi+16], rax", {0, 8}),
    (
        "lea rax, [rsi+3]; mov [rdi], rax; add rsi, 16; mov [rdi+8], rsi; sub rsi, 32; mov [rdi+16], rsi",
        {0, 8, 16},
    ),
    ("mov eax, 3; lea rcx, [rax+rax*4+2]; mov [rdi], rcx; lea rcx, [rsi+rax*8-1]; mov [rdi+8], rcx", {0, 8}),
    ("mov eax, 24; mov [rdi+rax], rsi; mov [rdi+rax*2], rsi", {24, 48}),
    ("mov eax, 0xff; and eax, 0x3c; mov [rdi], rax; add eax, -1; mov [rdi+8], rax", {0, 8}),
    (
        "push 4; pop rax; mov [rdi], rax; push rsi; pop [rdi+8]; push [rdi+8]; pop rcx; mov [rdi+16], rcx",
        {0, 8, 16},
    ),
    ("push rbp; mov rbp, rsp; sub rsp, 32; mov [rbp-8], rsi; mov rax, [rsp+24]; mov [rdi], rax; leave", {0}),
    (
        "lea r10, [rsp+8]; push rbp; mov rbp, rsp; and rsp, -32; sub rsp, 64; mov [rsp+8], rsi; "
        "mov rax, [rsp+8]; mov [rdi], rax; leave",
        {0},
    ),
    ("mov rax, [rip+pointers]; mov [rdi], rax; mov rax, [rip+pointers+16]; mov [rdi+8], rax", {0, 8}),
    ("mov rax, [rip+pointers+8]; mov [rdi], rax; mov eax, [rip+numbers+8]; mov [rdi+8], rax", {0, 8}),
    ("mov eax, [rip+pointers]; mov [rdi], rax; mov rax, [rip+pointers+4]; mov [rdi+8], rax", set()),
    ("mov rax, [rip+free@GOTPCREL]; mov [rdi], rax; mov rax, [rip+variable]; mov [rdi+8], rax", {0}),
    ("mov rax, [rip+variable_pointer]; mov [rdi], rax", set()),
    ("mov rax, fs:[0]; mov rax, fs:[0x28]; mov [rdi], rax", set()),
    (
        "mov [rdi], rsi; mov eax, [rdi]; mov [rdi+8], rax; mov qword ptr [rdi+16], 5; "
        "mov dword ptr [rdi+24], 6; "
        "mov rax, [rdi+20]; mov [rdi+32], rax; mov rax, [rdi+24]; mov [rdi+40], rax",
        {0, 16, 24},
    ),
    (
        "mov dword ptr [rdi], 5; mov rax, [rdi]; mov [rdi+8], rax; mov word ptr [rdi+24], 6; "
        "mov eax, [rdi+22]; "
        "mov [rdi+32], rax; movzx eax, byte ptr [rdi+25]; mov [rdi+40], rax",
        {0, 24, 40},
    ),
    ("mov rax, [rip+free@GOTPCREL]; lea rcx, [rax+8]; mov [rdi], rcx; add rax, 0; mov [rdi+8], rax", {8}),
    (
        "push rbp; mov rbp, rsp; sub rsp, 32; mov [rsp], rsi; leave; push rsi; pop rcx; mov [rdi], rcx; "
        "mov [rdi+8], rbp",
        {0},
    ),
    (
        "mov rax, rdi; and rax, rsi; mov [rdi], rax; mov eax, 7; and eax, [rip+numbers+16]; mov [rdi+8], rax",
        {8},
    ),
]

NOT_UNDERSTOOD: list[Piece] = [
    (
        "mov rax, rsi; mov rcx, rsi; xchg rax, rcx; imul rcx, rcx, 1; mov [rdi], rax; mov [rdi+8], rcx; "
        "mov [rdi+16], rsi",
        {16},
    ),
    (
        "mov rax, rsi; mov ecx, 1; cmp ecx, 1; cmovne rax, rcx; mov [rdi], rax; sete al; mov [rdi+8], rax",
        set(),
    ),
    ("mov [rdi], rsi; mov eax, 1; xadd [rdi], rax; mov [rdi+8], rax", set()),
    (
        "mov [rdi], rsi; mov rax, rsi; mov ecx, 5; cmpxchg [rdi], rcx; mov [rdi+8], rax; mov [rdi+16], rcx",
        {16},
    ),
    (
        "mov eax, 5; mov ecx, 6; mov edx, 7; mul rcx; mov [rdi], rax; mov [rdi+8], rdx; mov [rdi+16], rsi",
        {16},
    ),
    (
        "mov r8, rbx; xor eax, eax; xor ecx, ecx; cpuid; mov [rdi], rax; mov [rdi+8], rdx; mov rbx, r8; "
        "mov [rdi+16], rsi",
        {16},
    ),
    ("mov [rdi], rsi; inc qword ptr [rdi]; mov [rdi+8], rsi; not qword ptr [rdi+8]", set()),
    ("mov [rdi], rsi; mov eax, 70; bts [rdi], rax", set()),
    ("mov [rdi], rsi; stmxcsr [rdi+4]; mov [rdi+16], rsi; fld1; fstp qword ptr [rdi+16]", set()),
    (
        "mov r8, rdi; mov [r8+40], rsi; mov [r8+48], rsi; mov ecx, 6; lea rsi, [rip+numbers]; rep movsq; "
        "mov [r8], rcx; mov [r8+8], rdi; mov [r8+16], rsi",
        {0, 8, 16, 48},
    ),
    (
        "mov r8, rdi; mov [r8+8], rsi; mov [r8+16], rsi; mov ecx, 4; xor eax, eax; rep stosd; "
        "mov [rdi+16], rsi",
        {16, 32},
    ),
    (
        "mov r8, rdi; mov [r8+8], rsi; lea rsi, [rip+numbers]; movsq; movsd; mov [r8+16], r8; "
        "mov [rdi+12], rsi",
        {16, 24},
    ),
    (
        "mov r8, rdi; mov [r8], rsi; mov eax, 1; lea r9, [rip+variable]; movzx ecx, byte ptr [r9]; rep stosb",
        set(),
    ),
    (
        "mov r8, rsp; mov r9, rsp; push rsi; imul r9, r9, 1; mov rsp, r9; push rdi; mov rax, [r8-8]; "
        "mov rsp, r8; mov [rdi], rax; mov [rdi+8], rsi",
        {8},
    ),
    (
        "mov rax, rsp; and rax, -16; mov [rax-0x40], rsi; mov rcx, [rsp-0x40]; mov [rdi], rcx; "
        "mov [rdi+8], rsi",
        {8},
    ),
    ("mov r8, rsp; push si; push rdi; mov rax, [r8-16]; mov rsp, r8; mov [rdi], rax; mov [rdi+8], rdi", {8}),
    ("mov [rdi], rsi; mov [rdi+8], rsi; inc qword ptr [rdi]; neg qword ptr [rdi+16]", {8}),
    ("mov rax, rsi; xor rax, [rip+numbers]; mov [rdi], rax; xor rsi, rdi; mov [rdi+8], rsi", set()),
    (
        "mov r8, rdi; mov [r8+8], rsi; mov [r8+200], rsi; mov ecx, 20; lea rsi, [rip+numbers]; xor eax, eax; "
        "rep stosq; mov [r8], rsi; mov [rdi], r8",
        {0, 160, 200},
    ),
]

JUMPS_AND_CALLS: list[Piece] = [
    ("mov [rdi], rsi; jmp 1f; mov qword ptr [rdi], 1; 1: mov [rdi+8], rsi", {0, 8}),
    (
        "mov eax, 1; cmp eax, 2; je 1f; mov [rdi], rsi; 1: jg 2f; mov [rdi+8], rsi; 2: jrcxz 3f; 3: nop",
        {0, 8},
    ),
    (
        "push rbx; mov rbx, rdi; push rsi; sub rsp, 32; call callee; add rsp, 32; pop rsi; "
        "mov [rbx], rsi; mov [rbx+8], rax; mov [rbx+16], rdx; pop rbx",
        {0},
    ),
    (
        "push rbx; mov rbx, rdi; mov [rbx+40], rsi; call callee; mov rax, [rbx+40]; mov [rbx], rax; pop rbx",
        {40},
    ),
    (
        "push rbx; mov rbx, rdi; push rsi; sub rsp, 24; mov rdi, rsp; call callee; mov rax, [rsp+24]; "
        "mov [rbx], rax; add rsp, 32; pop rbx",
        set(),
    ),
    (
        "push rsi; mov [rip+variable], rsp; mov rax, rsp; mov rcx, [rip+variable]; mov [rcx], rdi; "
        "pop rcx; mov [rdi], rcx",
        {0},
    ),
    (
        "push rbx; mov rbx, rdi; push rsi; sub rsp, 8; mov [rbx+8], rsi; mov [rbx+40], rsi; "
        "lea rsi, [rip+numbers]; "
        "mov edx, 16; call memcpy@PLT; mov rcx, [rsp+8]; mov [rax+16], rcx; mov rdx, [rbx+40]; "
        "mov [rbx+24], rdx; mov [rbx+32], rsi; add rsp, 16; pop rbx",
        {16, 24, 40},
    ),
    (
        "push rsi; mov [rip+variable], rsp; lea rax, [rip+variable]; imul rax, rax, 1; mov rax, [rax]; "
        "mov [rax], rdi; pop rcx; mov [rdi], rcx; mov [rdi+8], rsi",
        {8},
    ),
]

SSE2: list[Piece] = [
    (
        "movq xmm0, rsi; movq [rdi], xmm0; movq rax, xmm0; mov [rdi+8], rax; movups [rdi+16], xmm0",
        {0, 8, 16, 24},
    ),
    (
        "movq xmm0, rsi; movq xmm1, rdi; punpcklqdq xmm0, xmm1; movups [rdi], xmm0; movaps xmm2, xmm0; "
        "punpckhqdq xmm2, xmm1; movdqu [rdi+16], xmm2",
        {0, 8, 16, 24},
    ),
    (
        "movq xmm0, rsi; movhps xmm0, [rip+free@GOTPCREL]; movups [rdi], xmm0; movhps [rdi+16], xmm0; "
        "movlps [rdi+24], xmm0",
        {0, 8, 16, 24},
    ),
    (
        "movaps xmm0, [rip+pointers]; movups [rdi], xmm0; movlps xmm0, [rip+numbers]; movups [rdi+16], xmm0",
        {0, 8, 16, 24},
    ),
    (
        "movq xmm0, rsi; movq xmm1, rdi; movlhps xmm1, xmm0; movups [rdi], xmm1; movhlps xmm0, xmm1; "
        "movups [rdi+16], xmm0",
        {0, 8, 16, 24},
    ),
    (
        "movq xmm0, rsi; movq xmm1, rdi; movsd xmm0, xmm1; movups [rdi], xmm0; "
        "movsd xmm2, [rip+numbers]; movsd [rdi+16], xmm2; movupd [rdi+24], xmm2",
        {0, 8, 16, 24, 32},
    ),
    (
        "mov eax, 77; movd xmm0, eax; movups [rdi], xmm0; movd ecx, xmm0; mov [rdi+16], rcx; "
        "movd [rdi+24], xmm0; movd xmm1, [rip+numbers+8]; movq [rdi+32], xmm1; movq xmm2, rsi; "
        "movd [rdi+40], xmm2",
        {0, 8, 16, 24, 32},
    ),
    (
        "movq xmm0, rsi; pshufd xmm1, xmm0, 0x44; movups [rdi], xmm1; pshufd xmm1, xmm0, 0x4e; "
        "movups [rdi+16], xmm1; pshufd xmm1, xmm0, 0xe4; movups [rdi+32], xmm1; pshufd xmm1, xmm0, 0xee; "
        "movups [rdi+48], xmm1; pshufd xmm1, xmm0, 0x1b; movups [rdi+64], xmm1",
        {0, 8, 16, 24, 32, 40, 48, 56},
    ),
    (
        "pxor xmm0, xmm0; movups [rdi], xmm0; movq xmm1, rsi; xorps xmm1, xmm1; movaps xmm2, xmm1; "
        "movups [rdi+16], xmm2",
        {0, 8, 16, 24},
    ),
    (
        "movq xmm0, rsi; movq xmm1, rdi; shufpd xmm0, xmm1, 0; movups [rdi], xmm0; shufpd xmm0, xmm1, 3; "
        "movups [rdi+16], xmm0; shufpd xmm0, xmm0, 1; movups [rdi+32], xmm0",
        {0, 8, 16, 24, 32, 40},
    ),
    (
        "movq xmm0, rsi; paddq xmm0, xmm0; movups [rdi], xmm0; pcmpeqd xmm1, xmm1; movups [rdi+16], xmm1",
        set(),
    ),
    (
        "movq xmm0, rsi; movq xmm1, rdi; unpcklpd xmm0, xmm1; movupd [rdi], xmm0; unpckhpd xmm0, xmm0; "
        "movupd [rdi+16], xmm0; punpckldq xmm0, xmm1; movups [rdi+32], xmm0",
        {0, 8, 16, 24},
    ),
    (
        "push rbx; mov rbx, rdi; movq xmm0, rsi; sub rsp, 16; movaps [rsp], xmm0; call callee; "
        "movups [rbx+16], xmm0; movaps xmm0, [rsp]; movups [rbx], xmm0; add rsp, 16; pop rbx",
        {0, 8},
    ),
    ("movq xmm0, rsi; maskmovdqu xmm0, xmm0; mov [rdi+8], rsi; fxsave [rsp-0x408]", {8}),
    (
        "movq xmm0, rsi; xorps xmm0, [rip+numbers]; movups [rdi], xmm0; movq xmm1, rdi; pxor xmm1, xmm0; "
        "movups [rdi+16], xmm1",
        set(),
    ),
    (
        "movq mm0, rsi; mov qword ptr [rdi], 1; movq [rdi], mm0; movq rax, mm0; mov [rdi+8], rax; "
        "movq2dq xmm0, mm0; movups [rdi+16], xmm0; emms",
        set(),
    ),
]

SSE4: list[Piece] = [
    (
        "movq xmm0, rsi; pinsrq xmm0, rdi, 1; movups [rdi], xmm0; pinsrq xmm0, [rip+numbers+8], 0; "
        "movups [rdi+16], xmm0; pextrq rax, xmm0, 1; mov [rdi+32], rax; pextrq [rdi+40], xmm0, 0",
        {0, 8, 16, 24, 32, 40},
    ),
    (
        "movddup xmm0, [rip+pointers]; movups [rdi], xmm0; movq xmm1, rsi; movddup xmm1, xmm1; "
        "lddqu xmm2, [rip+numbers]; movups [rdi+16], xmm1; movups [rdi+32], xmm2",
        {0, 8, 16, 24, 32, 40},
    ),
    (
        "movq xmm0, rsi; movq xmm1, rdi; palignr xmm0, xmm1, 8; movups [rdi], xmm0; "
        "palignr xmm0, xmm1, 4; movups [rdi+16], xmm0",
        {0, 8},
    ),
]

AVX2: list[Piece] = [
    (
        "vmovq xmm0, rsi; vpinsrq xmm1, xmm0, rdi, 1; vmovdqu [rdi], xmm1; vmovdqu [rdi+32], ymm1; "
        "vpextrq [rdi+16], xmm1, 1",
        {0, 8, 16, 32, 40, 48, 56},
    ),
    (
        "vmovq xmm0, rsi; vmovq xmm1, rdi; vpunpcklqdq xmm0, xmm0, xmm1; "
        "vinserti128 ymm0, ymm0, [rip+numbers], 1; vmovdqu [rdi], ymm0; vextracti128 [rdi+32], ymm0, 1; "
        "vextracti128 xmm2, ymm0, 0; vmovups [rdi+48], ymm2; vzeroupper; vmovups [rdi+80], ymm0",
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104},
    ),
    (
        "vmovdqa ymm0, [rip+pointers]; vmovdqu [rdi], ymm0; movq xmm0, rsi; vmovdqu [rdi+32], ymm0",
        {0, 8, 16, 24, 32, 40, 48, 56},
    ),
    (
        "vmovq xmm0, rsi; vmovhps xmm1, xmm0, [rip+numbers+8]; vmovups [rdi], xmm1; "
        "vmovhps [rdi+16], xmm1; vmovlps xmm2, xmm1, [rip+numbers]; vmovups [rdi+32], xmm2",
        {0, 8, 16, 32, 40},
    ),
    (
        "vmovq xmm0, rsi; vpbroadcastq ymm1, xmm0; vmovdqu [rdi], ymm1; "
        "vpbroadcastq xmm2, [rip+numbers]; vmovdqu [rdi+32], ymm2; vbroadcastsd ymm3, xmm0; "
        "vmovups [rdi+64], ymm3",
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88},
    ),
    (
        "vmovq xmm0, rsi; vpxor xmm0, xmm0, xmm0; vmovdqu [rdi], ymm0; vmovq xmm1, rsi; vmovq xmm2, rdi; "
        "vshufpd xmm3, xmm1, xmm2, 0; vmovups [rdi+32], ymm3; vmovlhps xmm3, xmm2, xmm1; "
        "vmovups [rdi+64], xmm3; vpalignr xmm3, xmm2, xmm1, 8; vmovups [rdi+80], xmm3; "
        "vmovhlps xmm3, xmm2, xmm1; vmovups [rdi+96], xmm3",
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104},
    ),
    (
        "vmovq xmm1, rsi; vpunpcklqdq ymm0, ymm1, ymm1; vmovdqu [rdi], ymm0; vmovsd xmm2, xmm1, xmm0; "
        "vmovups [rdi+32], xmm2; vmovddup xmm2, xmm1; vmovups [rdi+48], xmm2; vmovddup ymm2, ymm1; "
        "vmovups [rdi+64], ymm2",
        {48, 56},
    ),
    (
        "vmovq xmm1, rsi; vmovdqu [rdi], xmm1; vpcmpeqd xmm0, xmm0, xmm0; vpmaskmovq [rdi], xmm0, xmm1; "
        "vmovdqa ymm2, [rip+numbers]; vpcmpeqd ymm0, ymm0, ymm0; vpxor xmm3, xmm3, xmm3; "
        "lea rax, [rip+numbers]; vpgatherqq ymm2, [rax+ymm3*8], ymm0; vmovdqu [rdi+16], ymm0; "
        "vmovdqu [rdi+48], ymm2",
        set(),
    ),
    (
        "vmovq xmm1, rsi; vpxor xmm5, xmm1, xmm1; vmovups [rdi], xmm5; vmovups [rdi+16], xmm1; "
        "vmovq xmm2, rdi; "
        "vinserti128 ymm3, ymm1, [rip+numbers], 0; vmovdqu [rdi+32], ymm3; vmovdqu [rdi+64], ymm1; "
        "vinserti128 ymm4, ymm1, xmm2, 1; vmovdqu [rdi+96], ymm4; vextracti128 xmm5, ymm4, 1; "
        "vmovups [rdi+128], xmm5",
        {*range(0, 144, 8)},
    ),
]

AVX512: list[Piece] = [
    (
        "vpbroadcastq zmm0, rsi; vmovdqu64 [rdi], zmm0; vpxorq zmm1, zmm0, zmm0; vmovups [rdi+64], zmm1",
        {*range(0, 128, 8)},
    ),
    (
        "kxnorw k1, k1, k1; vmovq xmm0, rsi; mov qword ptr [rdi], 1; vmovdqu64 [rdi]{k1}, zmm0; "
        "vmovdqa64 zmm1{k1}{z}, zmm0; vmovdqu64 [rdi+64], zmm1",
        set(),
    ),
]


def x86_pieces() -> list[Piece]:
    """Those that this machine can run."""
    if platform.machine() != "x86_64":
        return []
    line = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0]
    flags = set(re.findall(r"\w+", line))
    pieces = [*GENERAL, *NOT_UNDERSTOOD, *JUMPS_AND_CALLS, *SSE2]
    for flag, others in (("sse4_1", SSE4), ("avx2", AVX2), ("avx512vl", AVX512)):
        pieces += others if flag in flags else []
    return pieces


def x86_library(pieces: list[Piece]) -> str:
    """C text of a library with each piece as a function piece_NUMBER, and `where`, which returns &out."""
    text = [line.strip().replace('"', '\\"') for line in LIBRARY.strip().splitlines()]
    for number, (code, _) in enumerate(pieces):
        name = f"piece_{number}"
        text += [f".globl {name}; .type {name}, @function; {name}: .cfi_startproc", PROLOGUE, code, "ret"]
        text += [f".cfi_endproc; .size {name}, .-{name}"]
    return "__asm__(" + "\n".join(f'"{line}\\n"' for line in [*text, ".att_syntax"]) + ");"
