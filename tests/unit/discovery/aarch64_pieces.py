"""Pieces of aarch64 code, assembled, and what they are known to store at which offsets from x0.

Each starts with x0 = DATA and x1 = CODE. At CODE + 0x180 are the address CODE + 8 and a number, at
DATA + 0x100 is the slot of `free`.
"""

from __future__ import annotations

import struct

from tests.unit.discovery.dynamic_elves import CODE, DATA, dynamic_image

from tlstap.discovery.relocations import Relocations
from tlstap.discovery.straight_line import Outcome, execute
from tlstap.discovery.symbolic import Address, Number, SymbolAddress, Value
from tlstap.discovery.unwind import Bounds


def number(value: int) -> Number:
    return Number(value & (1 << 64) - 1)


def code(offset: int = 0) -> Address:
    return Address(CODE + offset)


def data(offset: int = 0) -> Address:
    return Address(DATA + offset)


FREE = SymbolAddress("free")
_PROLOGUE = struct.pack("<II", 0x90000080, 0x90000001)  # adrp x0, DATA; adrp x1, CODE
AARCH64_PIECES: list[tuple[str, str, dict[int, Value]]] = [
    (
        "str x1, [x0]; str w1, [x0, #8]; str xzr, [x0, #16]; str wzr, [x0, #24]",
        "f9000001 b9000801 f900081f b900181f",
        {0: code(), 16: number(0), 24: number(0)},
    ),
    (
        "mov w2, #4; str w2, [x0]; mov x3, #-2; str x3, [x0, #8]; mov w3, #-2; str x3, [x0, #16]",
        "52800082 b9000002 92800023 f9000403 12800023 f9000803",
        {0: number(4), 8: number(-2), 16: number(0xFFFFFFFE)},
    ),
    (
        "mov x2, #0x1234; movk x2, #0x5678, lsl #16; movk x2, #0x9abc, lsl #48; str x2, [x0]; "
        "strb w2, [x0, #8]; strh w2, [x0, #10]; str w2, [x0, #12]",
        "d2824682 f2aacf02 f2f35782 f9000002 39002002 79001402 b9000c02",
        {0: number(0x9ABC000056781234), 8: number(0x34), 10: number(0x1234), 12: number(0x56781234)},
    ),
    ("movk x1, #5; str x1, [x0]; mov w2, w0; str x2, [x0, #8]", "f28000a1 f9000001 2a0003e2 f9000402", {}),
    (
        "stp x1, x0, [x0]; stp x1, xzr, [x0, #16]; stnp x0, x1, [x0, #32]; stp w1, wzr, [x0, #48]",
        "a9000001 a9017c01 a8020400 29067c01",
        {0: code(), 8: data(), 16: code(), 24: number(0), 32: data(), 40: code(), 52: number(0)},
    ),
    (
        "add x2, x1, #0x123; str x2, [x0]; add x2, x1, #1, lsl #12; str x2, [x0, #8]; sub x2, x2, "
        "#16; str x2, [x0, #16]; adr x3, #-32; str x3, [x0, #24]",
        "91048c22 f9000002 91400422 f9000402 d1004042 f9000802 10ffff03 f9000c03",
        {0: code(0x123), 8: code(0x1000), 16: code(0xFF0), 24: code(0)},
    ),
    (
        "mov x2, #3; add x3, x1, x2, lsl #3; str x3, [x0]; str x1, [x0, x2, lsl #3]; mov x4, #8; "
        "str x0, [x0, x4]; sub x3, x3, x4; str x3, [x0, #16]",
        "d2800062 8b020c23 f9000003 f8227801 d2800104 f8246800 cb040063 f9000803",
        {0: code(24), 8: data(), 16: code(16), 24: code()},
    ),
    (
        "add x2, x1, x3; str x2, [x0]; add x2, x1, w3, sxtw #2; str x2, [x0, #8]; str x1, [x0, "
        "x3]; str x1, [x0, #16]",
        "8b030022 f9000002 8b23c822 f9000402 f8236801 f9000801",
        {16: code()},
    ),
    (
        "mov x2, x0; str x1, [x2], #8; str x0, [x2], #8; str x1, [x2, #8]!; str x2, [x0, #40]",
        "aa0003e2 f8008441 f8008440 f8008c41 f9001402",
        {0: code(), 8: data(), 24: code(), 40: data(24)},
    ),
    (
        "mov x2, x0; stp x1, x0, [x2], #16; stp x0, x1, [x2, #16]!; str x2, [x0, #48]; stur x1, [x2, #-16]",
        "aa0003e2 a8810041 a9810440 f9001802 f81f0041",
        {0: code(), 8: data(), 16: code(), 32: data(), 40: code(), 48: data(32)},
    ),
    (
        "stp x29, x30, [sp, #-32]!; mov x29, sp; str x1, [sp, #16]; ldr x2, [x29, #16]; str x2, "
        "[x0]; ldp x2, x3, [sp, #16]; stp x2, x3, [x0, #8]; ldp x29, x30, [sp], #32; str x29, "
        "[x0, #24]",
        "a9be7bfd 910003fd f9000be1 f9400ba2 f9000002 a9410fe2 a9008c02 a8c27bfd f9000c1d",
        {0: code(), 8: code()},
    ),
    (
        "sub sp, sp, #64; sub x9, sp, #16; and sp, x9, #0xffffffffffffffe0; str x1, [sp]; ldr x2, "
        "[sp]; str x2, [x0]; mov sp, x9; add sp, sp, #80",
        "d10103ff d10043e9 927be93f f90003e1 f94003e2 f9000002 9100013f 910143ff",
        {0: code()},
    ),
    (
        "ldr x2, [x1, #0x180]; ldr x3, [x1, #0x188]; stp x2, x3, [x0]; ldp x2, x3, [x1, #0x180]; "
        "stp x3, x2, [x0, #16]; ldr w2, [x1, #0x18c]; str x2, [x0, #32]",
        "f940c022 f940c423 a9000c02 a9580c22 a9010803 b9418c22 f9001002",
        {
            0: code(8),
            8: number(0x0807060504030201),
            16: number(0x0807060504030201),
            24: code(8),
            32: number(0x08070605),
        },
    ),
    (
        "ldr x2, [x0, #0x100]; str x2, [x0]; ldr x3, [x0, #0x108]; str x3, [x0, #8]; ldr w2, [x1, "
        "#0x180]; str x2, [x0, #16]; add x4, x1, #0x184; ldr x3, [x4]; str x3, [x0, #24]",
        "f9408002 f9000002 f9408403 f9000403 b9418022 f9000802 91061024 f9400083 f9000c03",
        {0: FREE},
    ),
    (
        "ldr x2, #0x178; str x2, [x0]; ldr q0, #0x170; str q0, [x0, #16]; ldr x4, [x1, x5]; str x4, [x0, #8]",
        "58000bc2 f9000002 9c000b80 3d800400 f8656824 f9000404",
        {0: code(8), 16: code(8), 24: number(0x0807060504030201)},
    ),
    (
        "fmov d0, x1; str d0, [x0]; str q0, [x0, #8]; fmov x2, d0; str x2, [x0, #24]",
        "9e670020 fd000000 3c808000 9e660002 f9000c02",
        {0: code(), 8: code(), 16: number(0), 24: code()},
    ),
    (
        "fmov d0, x1; mov v0.d[1], x0; str q0, [x0]; mov v1.d[0], v0.d[1]; mov v1.d[1], v0.d[0]; "
        "str q1, [x0, #16]; mov x2, v0.d[1]; str x2, [x0, #32]; mov d2, v0.d[1]; str q2, [x0, "
        "#40]",
        "9e670020 4e181c00 3d800000 6e084401 6e180401 3d800401 4e183c02 f9001002 5e180402 3c828002",
        {0: code(), 8: data(), 16: data(), 24: code(), 32: data(), 40: data(), 48: number(0)},
    ),
    (
        "dup v0.2d, x1; dup v1.2d, x0; zip1 v2.2d, v0.2d, v1.2d; str q2, [x0]; zip2 v2.2d, v2.2d, "
        "v0.2d; str q2, [x0, #16]; dup v3.2d, v2.d[0]; stp q3, q0, [x0, #32]",
        "4e080c20 4e080c01 4ec13802 3d800002 4ec07842 3d800402 4e080443 ad010003",
        {0: code(), 8: data(), 16: data(), 24: code(), 32: data(), 40: data(), 48: code(), 56: code()},
    ),
    (
        "dup v0.2d, x1; dup v1.2d, x0; trn1 v2.2d, v1.2d, v0.2d; str q2, [x0]; uzp2 v2.2d, v2.2d, "
        "v1.2d; str q2, [x0, #16]; ext v2.16b, v0.16b, v1.16b, #8; str q2, [x0, #32]; ext v2.16b, "
        "v0.16b, v1.16b, #4; str q2, [x0, #48]",
        "4e080c20 4e080c01 4ec02822 3d800002 4ec15842 3d800402 6e014002 3d800802 6e012002 3d800c02",
        {0: data(), 8: code(), 16: code(), 24: data(), 32: code(), 40: data()},
    ),
    (
        "movi v0.2d, #0; str q0, [x0]; movi v0.4s, #4; str q0, [x0, #16]; dup v1.2d, x1; mov "
        "v2.16b, v1.16b; str q2, [x0, #32]; eor v1.16b, v1.16b, v1.16b; str q1, [x0, #48]",
        "6f00e400 3d800000 4f000480 3d800400 4e080c21 4ea11c22 3d800802 6e211c21 3d800c01",
        {0: number(0), 8: number(0), 32: code(), 40: code(), 48: number(0), 56: number(0)},
    ),
    (
        "ldr d0, [x1, #0x180]; add x2, x1, #0x188; ld1 {v0.d}[1], [x2]; str q0, [x0]; ld1r "
        "{v1.2d}, [x2]; str q1, [x0, #16]; ldp q2, q3, [x1, #0x180]; stp q2, q3, [x0, #32]; ldr "
        "q4, [x1, #0x180]; stur q4, [x0, #65]",
        "fd40c020 91062022 4d408440 3d800000 4d40cc41 3d800401 ad4c0c22 ad010c02 3dc06024 3c841004",
        {
            0: code(8),
            8: number(0x0807060504030201),
            16: number(0x0807060504030201),
            24: number(0x0807060504030201),
            32: code(8),
            40: number(0x0807060504030201),
            48: number(0),
            56: number(0),
            65: code(8),
            73: number(0x0807060504030201),
        },
    ),
    (
        "dup v0.2d, x1; dup v0.2s, w1; str q0, [x0]; dup v1.2d, x1; mov v1.s[1], w0; str q1, [x0, "
        "#16]; dup v2.2d, x1; mov w2, v2.s[0]; str x2, [x0, #32]; add v2.2d, v2.2d, v2.2d; str "
        "q2, [x0, #40]; dup v3.2d, x1; mov h3, v3.h[1]; str d3, [x0, #56]; dup v4.2d, x1; str s4, "
        "[x0, #64]; fmov s5, w1; str q5, [x0, #80]",
        "4e080c20 0e040c20 3d800000 4e080c21 4e0c1c01 3d800401 4e080c22 0e043c42 f9001002 "
        "4ee28442 3c828002 4e080c23 5e060463 fd001c03 4e080c24 bd004004 1e270025 3d801405",
        {},
    ),
    (
        "dup v0.2d, x1; add x2, x0, #16; st1 {v0.2d}, [x2]; str x1, [x0]; dup v1.2d, x1; ld1 "
        "{v1.2d}, [x2], #16; str q1, [x0, #64]; str x2, [x0, #80]; fmov d2, #1.0; str q2, [x0, "
        "#96]; str x1, [x0, #128]",
        "4e080c20 91004002 4c007c40 f9000001 4e080c21 4cdf7c41 3d801001 f9002802 1e6e1002 3d801802 f9004001",
        {0: code(), 104: number(0), 128: code()},
    ),
    (
        "mov x2, x1; mov x3, x1; csel x2, x3, x0, eq; str x2, [x0]; str x3, [x0, #8]; madd x3, "
        "x1, x1, x1; str x3, [x0, #16]; mov x4, x1; pacia x4, x0; str x4, [x0, #24]; mrs x5, "
        "tpidr_el0; str x5, [x0, #32]",
        "aa0103e2 aa0103e3 9a800062 f9000002 f9000403 9b010423 f9000803 aa0103e4 dac10004 "
        "f9000c04 d53bd045 f9001005",
        {8: code()},
    ),
    (
        "mov x2, x1; mov x3, x1; add x4, x0, #8; str x1, [x0]; swp x2, x3, [x4]; str x3, [x0, #16]",
        "aa0103e2 aa0103e3 91002004 f9000001 f8228083 f9000803",
        {},
    ),
    (
        "mov x2, x1; mov w3, w1; add x4, x0, #8; stxr w3, x2, [x4]; str x3, [x0, #32]; str x2, [x0, #40]",
        "aa0103e2 2a0103e3 91002004 c8037c82 f9001003 f9001402",
        {40: code()},
    ),
    (
        "add x4, x0, #64; str x1, [x4]; ldar x2, [x4]; str x2, [x0]; ldadd x1, x2, [x4]; str x1, "
        "[x0, #8]; str x0, [x0, #16]",
        "91010004 f9000081 c8dffc82 f9000002 f8210082 f9000401 f9000800",
        {16: data()},
    ),
    (
        "and x2, x1, #0xf; str x2, [x0]; mov w3, #0xff; and w3, w3, #0x3c; str x3, [x0, #8]; eor "
        "x2, x2, x2; str x2, [x0, #16]; eor x3, x3, x3, lsl #4; str x3, [x0, #24]; orr x3, x1, "
        "x0; str x3, [x0, #32]",
        "92400c22 f9000002 52801fe3 121e0c63 f9000403 ca020042 f9000802 ca031063 f9000c03 aa000023 f9001003",
        {8: number(0x3C), 16: number(0)},
    ),
    (
        "str x1, [x0]; b .+8; str xzr, [x0]; str x1, [x0, #8]; cbz x3, .+8; str x0, [x0, #16]; "
        "tbnz x3, #3, .+8; str x0, [x0, #24]; b.ne .+8; str x0, [x0, #32]; ret; str x0, [x0, #40]",
        "f9000001 14000002 f900001f f9000401 b4000043 f9000800 37180043 f9000c00 54000041 "
        "f9001000 d65f03c0 f9001400",
        {0: code(), 8: code(), 16: data(), 24: data(), 32: data()},
    ),
    (
        "mov x19, x0; mov x20, x1; str x1, [sp, #-16]!; bl .+0x180; str x20, [x19]; str x1, [x19, "
        "#8]; ldr x2, [sp], #16; str x2, [x19, #16]; str x18, [x19, #24]; str q8, [x19, #32]",
        "aa0003f3 aa0103f4 f81f0fe1 94000060 f9000274 f9000661 f84107e2 f9000a62 f9000e72 3d800a68",
        {0: code(), 16: code()},
    ),
    (
        "mov x19, x0; str x1, [sp, #-16]!; mov x0, sp; blr x3; ldr x2, [sp]; str x2, [x19]; str "
        "x19, [x19, #8]",
        "aa0003f3 f81f0fe1 910003e0 d63f0060 f94003e2 f9000262 f9000673",
        {8: data()},
    ),
    (
        "str x1, [x0, #8]; mov x8, #5; mov x2, x1; svc #0; str x0, [x2]; ldr x3, [x1, #0x180]; "
        "brk #1; str x1, [x1]",
        "f9000401 d28000a8 aa0103e2 d4000001 f9000040 f940c023 d4200020 f9000021",
        {8: code()},
    ),
    (
        "str x1, [x0, #32]; ldr x2, [x0, #32]; str x2, [x0]; str x3, [x4]; ldr x2, [x0, #32]; str "
        "x2, [x0, #8]; paciasp; bti c; nop; prfm pldl1keep, [x0]; cmp x1, x0; str x1, [x0, #16]",
        "f9001001 f9401002 f9000002 f9000083 f9401002 f9000402 d503233f d503245f d503201f "
        "f9800000 eb00003f f9000801",
        {32: code(), 0: code(), 16: code()},
    ),
    (
        "mov x2, #8; add x3, x1, x2, lsr #1; str x3, [x0]; mov w4, #16; str x1, [x0, w4, uxtw]; "
        "str x1, [x0, w4, sxtw]; mov x4, #24; str x0, [x0, x4, sxtx]; add x5, x0, x4, asr #1; str "
        "x5, [x0, #32]",
        "d2800102 8b420423 f9000003 52800204 f8244801 f824c801 d2800304 f824e800 8b840405 f9001005",
        {24: data()},
    ),
]


def execute_aarch64(instructions: str, *, fixed: bool = False) -> Outcome:
    """Execute instructions (hexadecimal words) after the prologue, in an image that may be never moved."""
    text = _PROLOGUE + b"".join(int(word, 16).to_bytes(4, "little") for word in instructions.split())
    content = text + bytes(0x180 - len(text)) + struct.pack("<Q", CODE + 8) + bytes(range(1, 9)) + bytes(0x70)
    with dynamic_image(
        content,
        symbols=["free"],
        relocations=[(CODE + 0x180, 1027, 0, CODE + 8), (DATA + 0x100, 1025, 1, 0)],
        fixed=fixed,
    ) as image:
        return execute(image, Relocations(image), Bounds(CODE, CODE + len(text)))
