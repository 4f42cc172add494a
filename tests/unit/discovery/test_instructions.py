"""Instructions, and where they lead."""

from __future__ import annotations

import struct

import pytest
from tests.unit.discovery.dynamic_elves import AARCH64, CODE, X86_64, dynamic_image

from tlstap.discovery.instructions import Flow, Instruction, decode, is_padding
from tlstap.errors import ElfError


def x86(code: str) -> list[Instruction]:
    content = bytes.fromhex(code)
    return list(decode(dynamic_image(content, X86_64), CODE, CODE + len(content)))


def a64(*words: int) -> list[Instruction]:
    content = struct.pack(f"<{len(words)}I", *words)
    return list(decode(dynamic_image(content, AARCH64), CODE, CODE + len(content)))


@pytest.mark.parametrize(
    ("code", "flow", "target"),
    [
        ("90", "next", None),
        ("b810000000", "next", None),
        ("e8fb0f0000", "call", CODE + 0x1000),
        ("67e8fa0f0000", "call", CODE + 0x1000),  # what linkers make of a call through a pointer
        ("ff15faffffff", "call", None),
        ("ffd0", "call", None),
        ("41ffd2", "call", None),
        ("e9fb0f0000", "jump", CODE + 0x1000),
        ("f2e9fa0f0000", "jump", CODE + 0x1000),
        ("eb10", "jump", CODE + 0x12),
        ("eb80", "jump", CODE - 0x7E),
        ("ffe0", "jump", None),
        ("3effe0", "jump", None),  # notrack
        ("ff24c500000000", "jump", None),
        ("7410", "branch", CODE + 0x12),
        ("0f85fa0f0000", "branch", CODE + 0x1000),
        ("e310", "branch", CODE + 0x12),
        ("e2fe", "branch", CODE),
        ("c3", "end", None),
        ("f3c3", "end", None),
        ("f2c3", "end", None),
        ("0f0b", "end", None),
        ("f4", "end", None),
        ("cc", "end", None),
    ],
)
def test_flow_on_x86_64(code: str, flow: Flow, target: int | None) -> None:
    (one,) = x86(code)
    assert (one.flow, one.target, one.address, one.next) == (flow, target, CODE, CODE + len(code) // 2)


@pytest.mark.parametrize(
    ("word", "flow", "target"),
    [
        (0xD503201F, "next", None),  # nop
        (0x94000400, "call", CODE + 0x1000),
        (0xD63F0100, "call", None),  # blr x8
        (0xD73F0909, "call", None),  # blraa x8, x9
        (0x17FFFFFF, "jump", CODE - 4),
        (0xD61F0200, "jump", None),  # br x16
        (0x54000080, "branch", CODE + 0x10),  # b.eq
        (0x35000080, "branch", CODE + 0x10),  # cbnz w0
        (0xB7F80080, "branch", CODE + 0x10),  # tbnz x0, #63
        (0xD65F03C0, "end", None),
        (0xD65F0BFF, "end", None),  # retaa
        (0xD4200020, "end", None),  # brk
    ],
)
def test_flow_on_aarch64(word: int, flow: Flow, target: int | None) -> None:
    (one,) = a64(word)
    assert (one.flow, one.target, one.next) == (flow, target, CODE + 4)


def test_the_number_of_a_register_is_no_address() -> None:
    assert [one.target for one in a64(0xD63F0200, 0xD61F0200)] == [None, None]
    assert [one.target for one in x86("41ffd0 41ffe1".replace(" ", ""))] == [None, None]


@pytest.mark.parametrize(
    "code",
    ["90", "6690", "0f1f00", "660f1f440000", "66662e0f1f840000000000", "cc", "6666662e0f1f840000000000"],
)
def test_padding_on_x86_64(code: str) -> None:
    assert all(is_padding(one) for one in x86(code))


@pytest.mark.parametrize("code", ["c3", "0f0b", "87d8", "89c0", "f30f1efa", "31c0"])
def test_what_is_no_padding(code: str) -> None:
    assert not any(is_padding(one) for one in x86(code))


def test_padding_on_aarch64() -> None:
    assert [is_padding(one) for one in a64(0xD503201F, 0x00000000, 0xD65F03C0)] == [True, True, False]


def test_code_ends_at_what_is_none() -> None:
    assert [one.name for one in x86("9006c3")] == ["nop"]
    assert [one.name for one in a64(0xD503201F, 0xFFFFFFFF, 0xD503201F)] == ["nop"]
    assert [one.name for one in x86("90e8fb0f")] == ["nop"]


def test_code_ends_where_the_segment_does() -> None:
    image = dynamic_image(b"\x90\xc3", X86_64)
    assert len(list(decode(image, CODE, CODE + (1 << 40)))) == 2
    assert list(decode(image, CODE + 1, CODE)) == []


def test_there_is_no_code() -> None:
    with pytest.raises(ElfError):
        list(decode(dynamic_image(b"\x90", X86_64), CODE + 1, CODE + 9))
