"""Which words of structs a function reads and writes."""

from __future__ import annotations

import struct

import pytest
from tests.unit.discovery.dynamic_elves import AARCH64, CODE, X86_64, dynamic_image

from tlstap.discovery.call_arguments import read_code
from tlstap.discovery.functions import Functions
from tlstap.discovery.unwind import Bounds
from tlstap.plugins.boringssl.memory import words


def accesses(code: bytes, machine: int) -> tuple[set[int], set[int]]:
    """(read, written)."""
    image = dynamic_image(code, machine)
    bounds = Bounds(CODE, CODE + len(code))
    found = words(read_code(image, Functions(image, [CODE]), bounds))
    return set(found.read), set(found.written)


@pytest.mark.parametrize(
    ("code", "read", "written"),
    [
        ("488b4758", {0x58}, set()),  # mov rax, [rdi + 0x58]
        ("488b07", {0}, set()),  # mov rax, [rdi]
        ("48894758", set(), {0x58}),  # mov [rdi + 0x58], rax
        ("48c7475800000000", set(), {0x58}),  # mov qword ptr [rdi + 0x58], 0
        ("48014758", {0x58}, {0x58}),  # add [rdi + 0x58], rax
        ("48295058", {0x58}, {0x58}),  # sub [rax + 0x58], rdx
        ("48837f5800", {0x58}, set()),  # cmp qword ptr [rdi + 0x58], 0
        ("483b4758", {0x58}, set()),  # cmp rax, [rdi + 0x58]
        ("ff7758", {0x58}, set()),  # push qword ptr [rdi + 0x58]
        ("ff5758", {0x58}, set()),  # call [rdi + 0x58]
        ("0f104758", {0x58, 0x60}, set()),  # movups xmm0, [rdi + 0x58]
        ("0f114758", set(), {0x58, 0x60}),  # movups [rdi + 0x58], xmm0
        ("894758", set(), set()),  # mov [rdi + 0x58], eax
        ("8b4758", set(), set()),  # mov eax, [rdi + 0x58]
        ("4889442458", set(), set()),  # mov [rsp + 0x58], rax
        ("488b0500000000", set(), set()),  # mov rax, [rip]
        ("488b44c758", set(), set()),  # mov rax, [rdi + rax * 8 + 0x58]
        ("488d4758", set(), set()),  # lea rax, [rdi + 0x58]
        ("48894508", set(), {8}),  # mov [rbp + 8], rax
        ("4889e548894508", set(), set()),  # mov rbp, rsp, and the same
    ],
)
def test_words_on_x86_64(code: str, read: set[int], written: set[int]) -> None:
    assert accesses(bytes.fromhex(code) + b"\xc3", X86_64) == (read, written)


@pytest.mark.parametrize(
    ("word", "read", "written"),
    [
        (0xF9402C01, {0x58}, set()),  # ldr x1, [x0, #0x58]
        (0xF9400001, {0}, set()),  # ldr x1, [x0]
        (0xF9002C01, set(), {0x58}),  # str x1, [x0, #0x58]
        (0xF9002C1F, set(), {0x58}),  # str xzr, [x0, #0x58]
        (0xA9458801, {0x58, 0x60}, set()),  # ldp x1, x2, [x0, #0x58]
        (0xA9058801, set(), {0x58, 0x60}),  # stp x1, x2, [x0, #0x58]
        (0x3D801800, set(), {0x60, 0x68}),  # str q0, [x0, #0x60]
        (0xAD430400, {0x60, 0x68, 0x70, 0x78}, set()),  # ldp q0, q1, [x0, #0x60]
        (0xB9005801, set(), set()),  # str w1, [x0, #0x58]
        (0xF9002FE1, set(), set()),  # str x1, [sp, #0x58]
        (0xF9002FA1, set(), set()),  # str x1, [x29, #0x58]
        (0xF8616801, set(), set()),  # ldr x1, [x0, x1]
        (0x91016001, set(), set()),  # add x1, x0, #0x58
    ],
)
def test_words_on_aarch64(word: int, read: set[int], written: set[int]) -> None:
    assert accesses(struct.pack("<II", word, 0xD65F03C0), AARCH64) == (read, written)
