"""What refers to an address."""

from __future__ import annotations

import os
import random
import struct
import time

import numpy as np
import pytest
from tests.unit.discovery.dynamic_elves import AARCH64, CODE, DATA, X86_64, dynamic_image
from tests.unit.discovery.elves import elf_bytes

from tlstap.discovery.code_scan import MAX_REFERENCES, Reference, code_references, code_size
from tlstap.discovery.elf import ElfImage
from tlstap.errors import ElfError

WANTED = [range(DATA + 0x20, DATA + 0x28)]
PIECE = 256 << 10


def relative(before: bytes, at: int, target: int) -> bytes:
    """An instruction at an address in the code that ends in the distance to a target."""
    return before + struct.pack("<i", target - (CODE + at + len(before) + 4))


def found(code: bytes, wanted: list[range] = WANTED, *, fixed: bool = False) -> list[Reference]:
    return code_references(dynamic_image(code, X86_64, fixed=fixed), wanted)


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


@pytest.mark.parametrize("at", [0, 1, 2, 3, 5, 61])
@pytest.mark.parametrize(
    ("before", "kind", "first"),
    [
        ("488d3d", "address", 0),  # lea rdi
        ("4c8d05", "address", 0),  # lea r8
        ("e8", "call", 0),
        ("67e8", "call", 1),
        ("e9", "jump", 0),
        ("0f84", "jump", 0),
    ],
)
def test_an_instruction_of_x86_64(at: int, before: str, kind: str, first: int) -> None:
    code = b"\x90" * at + relative(bytes.fromhex(before), at, DATA + 0x23) + b"\x90" * 9
    if at < 4 and before in ("e8", "e9", "0f84", "67e8"):  # nothing can be said about what is before
        code = b"\x90" * 4 + relative(bytes.fromhex(before), at + 4, DATA + 0x23)[: len(code)]
        code = b"\x90" * (at + 4) + code[4:]
        at += 4
    assert found(code) == [Reference(CODE + at + first, DATA + 0x23, kind)]


@pytest.mark.parametrize("before", ["488b3d", "8d3d", "488d7d", "488d3c", "ff15", "0f1f", "eb", "0f10"])
def test_what_is_no_reference_of_x86_64(before: str) -> None:
    """It loads from there, or looks alike."""
    assert found(b"\x90" * 8 + relative(bytes.fromhex(before), 8, DATA + 0x23)) == []


@pytest.mark.parametrize("offset", [-1, 0, 7, 8])
def test_ranges_have_ends(offset: int) -> None:
    references = found(b"\x90" * 8 + relative(b"\xe8", 8, DATA + 0x20 + offset))
    assert bool(references) is (0 <= offset < 8)


@pytest.mark.parametrize("cut", range(8))
def test_code_that_ends_in_the_middle(cut: int) -> None:
    code = b"\x90" * 8 + relative(b"\xe8", 8, DATA + 0x20)
    assert len(found(code[: len(code) - cut])) == (cut == 0)


@pytest.mark.parametrize("at", [*range(PIECE - 9, PIECE + 5), 2 * PIECE - 3])
def test_between_two_pieces(at: int) -> None:
    """Each is found, and once."""
    call = relative(bytes.fromhex("488d0d"), at, DATA + 0x800000)
    code = b"\x90" * at + call + b"\x90" * 100
    image = dynamic_image(code, X86_64)
    seen: list[int] = []
    wanted = [range(DATA + 0x800000, DATA + 0x800001)]
    assert code_references(image, wanted, seen.append) == [Reference(CODE + at, DATA + 0x800000, "address")]
    assert sum(seen) == len(code) == code_size(image)


def test_many_ranges_and_both_ways_around() -> None:
    code = (
        b"\x90" * 8 + relative(b"\xe8", 8, CODE) + relative(b"\xe9", 13, DATA) + relative(b"\xe8", 18, CODE)
    )
    assert found(code, [range(DATA, DATA + 1), range(CODE, CODE + 1)]) == [
        Reference(CODE + 8, CODE, "call"),
        Reference(CODE + 13, DATA, "jump"),
        Reference(CODE + 18, CODE, "call"),
    ]


@pytest.mark.parametrize(
    ("before", "first"),
    [("bf", 0), ("b8", 0), ("41b9", 0), ("68", 0), ("48c7c7", 0), ("c7c7", 0), ("49c7c0", 0)],
)
def test_addresses_in_a_program_that_is_never_moved(before: str, first: int) -> None:
    code = b"\x90" * 8 + bytes.fromhex(before) + struct.pack("<I", DATA + 0x21) + b"\x90" * 4
    assert found(code, fixed=True) == [Reference(CODE + 8 + first, DATA + 0x21, "address")]
    assert found(code) == []


@pytest.mark.parametrize("before", ["05", "3d", "c705", "81c7", "c7c8", "25"])
def test_numbers_that_are_no_addresses(before: str) -> None:
    code = b"\x90" * 8 + bytes.fromhex(before) + struct.pack("<I", DATA + 0x21)
    assert found(code, fixed=True) == []


def test_an_address_beyond_what_instructions_hold() -> None:
    wanted = [range((1 << 32) + DATA + 0x20, (1 << 32) + DATA + 0x28)]
    assert found(b"\x90" * 8 + b"\xbf" + struct.pack("<I", DATA + 0x21), wanted, fixed=True) == []
    assert found(b"\x90" * 8 + relative(b"\xe8", 8, DATA + 0x21), wanted) == []


# aarch64

ADRP_X3, ADD_X3 = 0x90000083, 0x91008063  # adrp x3, DATA; add x3, x3, #0x20
NOP = 0xD503201F


@pytest.mark.parametrize("between", [0, 1, 11])
def test_an_address_in_two_halves(between: int) -> None:
    image = dynamic_image(words(NOP, ADRP_X3, *[NOP] * between, ADD_X3), AARCH64)
    assert code_references(image, WANTED) == [Reference(CODE + 4, DATA + 0x20, "address")]


@pytest.mark.parametrize(
    "second", [NOP, 0x91008064 | 4 << 5, 0x91004063, 0xD1008063, 0xF9401063, 0x9100A063], ids=hex
)
def test_another_second_half(second: int) -> None:
    """Nothing, another register, another address, a difference, a load."""
    assert code_references(dynamic_image(words(ADRP_X3, second), AARCH64), WANTED) == []


def test_a_second_half_that_is_far_or_missing() -> None:
    image = dynamic_image(words(ADRP_X3, *[NOP] * 12, ADD_X3), AARCH64)
    assert code_references(image, WANTED) == []
    assert code_references(dynamic_image(words(ADRP_X3), AARCH64), WANTED) == []


def test_the_halves_may_be_in_two_pieces() -> None:
    image = dynamic_image(words(*[NOP] * (PIECE // 4 - 1), 0x90000083, ADD_X3), AARCH64)
    page = CODE + PIECE - 4 & ~0xFFF
    assert code_references(image, [range(page + 0x10020, page + 0x10021)]) == [
        Reference(CODE + PIECE - 4, page + 0x10020, "address")
    ]


def test_branches_of_aarch64() -> None:
    image = dynamic_image(words(NOP, 0x94004007, 0x14004006, 0x17FFFFFD, 0x9100005F), AARCH64)
    assert code_references(image, [*WANTED, range(CODE, CODE + 1)]) == [
        Reference(CODE + 4, DATA + 0x20, "call"),
        Reference(CODE + 8, DATA + 0x20, "jump"),
        Reference(CODE + 12, CODE, "jump"),
    ]


def test_an_address_nearby() -> None:
    """adr makes it in one instruction."""
    image = dynamic_image(words(NOP, 0x10FFFFE3), AARCH64)
    assert code_references(image, [range(CODE, CODE + 1)]) == [Reference(CODE + 4, CODE, "address")]


# Hostile files


def test_a_million_references() -> None:
    """They are refused before they fill the memory."""
    count = 1_000_000
    places = CODE + 5 * np.arange(count, dtype=np.int64) + 5
    code = np.empty((count, 5), dtype=np.uint8)
    code[:, 0] = 0xE8
    code[:, 1:] = (CODE - places).astype("<i4").view(np.uint8).reshape(count, 4)
    start = time.monotonic()
    with pytest.raises(ElfError, match=f"more than {MAX_REFERENCES} references to the same code or data"):
        found(code.tobytes(), [range(CODE, CODE + 1)])
    assert time.monotonic() - start < 5


def test_everything_refers_to_something() -> None:
    """A range as large as the address space is no problem of its own."""
    code = random.Random(1).randbytes(4000)
    for wanted in ([range(0, 1 << 62)], [range(0, 1 << 32)], [range(CODE, CODE)], []):
        for machine in (X86_64, AARCH64):
            for fixed in (False, True):
                references = code_references(dynamic_image(code, machine, fixed=fixed), wanted)
                assert all(reference.target in wanted[0] for reference in references)


def test_segments_that_claim_the_file_many_times() -> None:
    content = bytearray(elf_bytes(bytes(4096)))
    header = bytes(content[64:120])
    content[0x20:0x28] = struct.pack("<Q", len(content))
    content[0x38:0x3A] = struct.pack("<H", 100)
    content[0x28:0x30] = bytes(8)
    content[0x3C:0x40] = bytes(4)
    fd = os.memfd_create("image")
    os.write(fd, bytes(content) + header * 100)
    start = time.monotonic()
    with ElfImage.adopt(fd, "image") as image, pytest.raises(ElfError, match="add up to more than"):
        code_references(image, WANTED)
    assert time.monotonic() - start < 1


def test_a_file_that_is_cut_while_it_is_read() -> None:
    fd = os.memfd_create("image")
    os.write(fd, elf_bytes(b"\x90" * 4096))
    with ElfImage.adopt(fd, "image") as image:
        os.ftruncate(fd, 200)
        with pytest.raises(ElfError, match="the file was cut"):
            code_references(image, WANTED)


@pytest.mark.parametrize("size", range(6))
def test_hardly_any_code(size: int) -> None:
    for machine in (X86_64, AARCH64):
        assert code_references(dynamic_image(bytes(size), machine), WANTED) == []
