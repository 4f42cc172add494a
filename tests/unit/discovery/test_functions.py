"""Which function an address belongs to."""

from __future__ import annotations

import os
import random
import struct
import time
from pathlib import Path

import pytest
from tests.unit.discovery.assembled import assemble
from tests.unit.discovery.damaged import answers
from tests.unit.discovery.dynamic_elves import AARCH64, CODE, X86_64, dynamic_image
from tests.unit.discovery.elves import elf_bytes

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.functions import Functions
from tlstap.discovery.unwind import Bounds
from tlstap.errors import ElfError


class Code:
    """Assembled code, and what is told about its labels."""

    def __init__(self, folder: Path, source: str, *options: str) -> None:
        self.image, self.labels = assemble(folder, source, *options)
        code = self.image.executable_segments()[-1]
        self.end = code.address + code.file_size
        self.functions = Functions(self.image, [self.labels["here"]])

    def owner(self, label: str) -> str | None:
        """The label of the function that a label is in."""
        return self._name(self.functions.owner(self.labels[label]))

    def part(self, label: str) -> str | None:
        """The label of the part."""
        return self._name(self.functions.bounds(self.labels[label]))

    def _name(self, bounds: Bounds | None) -> str | None:
        if bounds is None:
            return None
        names = {name for name, address in self.labels.items() if address == bounds.start}
        return max(names - {"here"}, key=len, default="here")


CALLS = "calls: call first; call first; call second; call second; ret\n"


def test_functions_begin_where_calls_lead(tmp_path: Path) -> None:
    """Also where they stand one directly behind the other, at any address."""
    code = Code(
        tmp_path,
        ".balign 16; first: push rbx; a: pop rbx; inc eax; here: ret; second: inc eax; b: ret;" + CALLS,
    )
    assert [code.owner(label) for label in ("first", "a", "here", "second", "b")] == [
        "first", "first", "first", "second", "second"
    ]  # fmt: skip
    assert code.functions.bounds(code.labels["a"]) == Bounds(code.labels["first"], code.labels["second"])
    assert len(code.functions.callers(code.labels["first"])) == 2


def test_functions_that_nothing_calls(tmp_path: Path) -> None:
    """They begin behind the end of another."""
    code = Code(
        tmp_path,
        """.balign 16; first: ret; .balign 16; pointed_at: cmp edi, 1; je c; ret; c: here: inc eax; ret
        .balign 16; second: ret; ud2; .balign 16; last: a: ret;"""
        + CALLS,
    )
    assert code.owner("here") == "pointed_at"
    assert code.owner("a") == "last"
    assert code.functions.is_start(code.labels["pointed_at"])


def test_a_return_in_the_middle(tmp_path: Path) -> None:
    """A branch leads beyond it, from before or from behind."""
    code = Code(
        tmp_path,
        """.balign 16; first: test edi, edi; je a; ret; a: here: inc eax; jmp b
        c: inc eax; ret; b: inc eax; jmp c
        .balign 16; second: ret;"""
        + CALLS,
    )
    assert {code.owner(label) for label in "abc"} == {"first"}


def test_a_jump_to_another_function_at_the_end(tmp_path: Path) -> None:
    code = Code(
        tmp_path,
        """.balign 16; first: here: jmp second; .balign 16; between: a: inc eax; ret
        .balign 16; second: b: ret;"""
        + CALLS,
    )
    assert [code.owner(label) for label in ("here", "a", "b")] == ["first", "between", "second"]


def test_a_function_that_is_only_jumped_to(tmp_path: Path) -> None:
    """It is entered at its start and never jumps back: no part of what jumps."""
    code = Code(
        tmp_path,
        ".balign 16; first: here: jmp other; .balign 16; second: ret; .balign 16; other: inc eax; ret;"
        + CALLS,
    )
    assert code.owner("other") == "other"
    assert code.functions.is_start(code.labels["other"])


def test_code_that_was_moved_away(tmp_path: Path) -> None:
    """It belongs to the function that jumps into it."""
    code = Code(
        tmp_path,
        """.balign 16; first: test edi, edi; je cold; back: here: inc eax; ret
        .balign 16; second: ret
        .balign 16; cold: inc eax; a: inc eax; jmp back
        .balign 16; more: ret;"""
        + CALLS,
    )
    assert code.part("a") == "cold"
    assert code.owner("a") == code.owner("here") == "first"
    assert code.owner("more") == "more"


def test_code_that_was_moved_away_twice(tmp_path: Path) -> None:
    code = Code(
        tmp_path,
        """.balign 16; first: test edi, edi; je cold; back: here: inc eax; ret
        .balign 16; second: ret
        .balign 16; cold: test esi, esi; je colder; jmp back; b: inc eax; jmp back
        .balign 16; colder: inc eax; a: inc eax; jmp b;"""
        + CALLS,
    )
    assert code.owner("a") == "first"


def test_code_that_two_functions_jump_to(tmp_path: Path) -> None:
    code = Code(
        tmp_path,
        """.balign 16; first: test edi, edi; je shared; here: ret
        .balign 16; second: test edi, edi; je shared; ret
        .balign 16; third: ret
        .balign 16; shared: inc eax; a: ret;"""
        + CALLS
        + "call third; ret",
    )
    assert code.owner("a") == "shared"


def test_parts_that_jump_to_each_other_in_a_circle(tmp_path: Path) -> None:
    code = Code(
        tmp_path,
        """.balign 16; first: here: ret; .balign 16; second: ret
        .balign 16; one: inc eax; c: jmp two + 1; .balign 16; two: inc eax; d: jmp three + 1
        .balign 16; three: inc eax; e: jmp one + 1; .balign 16; last: ret;"""
        + CALLS,
    )
    assert code.owner("c") in ("one", "two", "three")


@pytest.mark.parametrize(("padding", "ends"), [(".balign 16", True), ("", False), ("inc eax", False)])
def test_a_call_that_never_returns(tmp_path: Path, padding: str, ends: bool) -> None:
    """It shows by padding behind it, up to an aligned address."""
    code = Code(
        tmp_path,
        f".balign 16; first: inc eax; call second; {padding}; here: a: inc eax; ret; .balign 16; second: ret;"
        + CALLS,
    )
    assert code.owner("a") == ("a" if ends else "first")


def test_padding_behind_a_call_in_front_of_a_loop(tmp_path: Path) -> None:
    code = Code(
        tmp_path,
        """.balign 16; first: inc eax; call second; .balign 16; a: dec edi; here: jne a; ret
        .balign 16; second: ret;"""
        + CALLS,
    )
    assert code.owner("here") == "first"


def test_the_cases_of_a_switch(tmp_path: Path) -> None:
    """A jump to a computed address ends nothing by itself."""
    code = Code(
        tmp_path,
        """.balign 16; first: jmp [rip + first + rdi * 0]; a: inc eax; ret; here: b: inc eax; ret
        .balign 16; second: ret;""".replace("[rip + first + rdi * 0]", "rax")
        + CALLS,
    )
    assert code.owner("a") == "first"


def test_a_jump_through_a_pointer_at_the_end(tmp_path: Path) -> None:
    code = Code(
        tmp_path,
        ".balign 16; first: jmp rax; .balign 16; here: inc eax; ret; .balign 16; second: ret;" + CALLS,
    )
    assert code.owner("here") == "here"


def test_bytes_that_look_like_a_call(tmp_path: Path) -> None:
    """In the middle of another instruction; it leads into the middle of a function."""
    code = Code(
        tmp_path,
        """.balign 16; first: inc eax; inc eax; inside: inc eax; here: inc eax; ret
        .balign 16; second: .byte 0xb8, 0xe8; .long inside - . - 4; ret;"""
        + CALLS,
    )
    assert code.functions.callers(code.labels["inside"])
    assert code.owner("here") == "first"


def test_numbers_that_look_like_a_call_of_an_aligned_address(tmp_path: Path) -> None:
    """The place of a member, 0xe8, and then the 0 that is stored there: a call of what is next."""
    code = Code(
        tmp_path,
        """.balign 16; first: mov eax, 1; inc eax; dec eax
        mov dword ptr [rbx + 0xe8], 0; here: inc eax; ret; .balign 16; second: ret;"""
        + CALLS,
    )
    place = code.labels["here"] - 8
    assert code.image.read(place, 5) == bytes.fromhex("e800000000")
    assert (place + 5) % 16 == 0 and code.functions.callers(place + 5)
    assert code.owner("here") == "first"


def test_one_call_of_a_function_at_any_address(tmp_path: Path) -> None:
    """It stands behind the end of another."""
    code = Code(
        tmp_path,
        """.balign 16; first: inc eax; jmp second; other: inc eax; here: ret
        .balign 16; second: call other; ret;"""
        + CALLS,
    )
    assert code.owner("here") == "other"


def test_what_is_no_code_ends_a_function(tmp_path: Path) -> None:
    """And the next one is known all the same."""
    code = Code(
        tmp_path,
        """.balign 16; first: inc eax; ret; .byte 0x06, 0x06, 0x06, 0x06
        .balign 16; second: inc eax; here: ret;"""
        + CALLS,
    )
    assert code.owner("here") == "second"


def test_the_last_function_of_a_segment(tmp_path: Path) -> None:
    code = Code(
        tmp_path,
        ".balign 16; first: ret; second: inc eax; here: ret; third: ret;" + CALLS + "call third; a: ret",
    )
    assert [code.owner(one) for one in ("here", "third", "calls")] == ["second", "third", "calls"]


def test_what_unwinding_tells_comes_first(tmp_path: Path) -> None:
    source = """
        .balign 16; first: .cfi_startproc; inc eax; ret; a: here: inc eax; ret; .cfi_endproc
        .balign 16; second: .cfi_startproc; ret; .cfi_endproc
    """
    code = Code(tmp_path, source + CALLS, "-Wl,--eh-frame-hdr")
    assert code.owner("a") == "first"
    assert code.functions.bounds(code.labels["a"]) == Bounds(code.labels["first"], code.labels["a"] + 3)
    assert code.functions.is_start(code.labels["first"])
    assert not code.functions.is_start(code.labels["a"])


def test_where_no_function_begins(tmp_path: Path) -> None:
    code = Code(
        tmp_path, ".balign 16; first: inc eax; ret; odd: inc eax; here: ret; .balign 16; second: ret;" + CALLS
    )
    assert code.owner("here") == "odd"
    assert not code.functions.is_start(code.labels["odd"])
    assert not code.functions.is_start(code.labels["here"])
    assert code.functions.is_start(code.labels["first"])


def test_far_from_what_was_asked_for() -> None:
    image = dynamic_image(b"\xc3" * 4 + bytes(1 << 18), X86_64)
    functions = Functions(image, [CODE])
    assert functions.owner(CODE + (1 << 17)) is None
    assert functions.owner(CODE + (1 << 40)) is None


def test_places_all_over_the_code() -> None:
    image = dynamic_image(b"\xc3" * 16, X86_64)
    with pytest.raises(ElfError, match="lie all over its code"):
        Functions(image, range(0, 100 << 20, 1 << 20))
    Functions(image, range(0, 1 << 20, 16))


def test_functions_of_aarch64() -> None:
    """first calls second (which a branch leads into, and which ends in a return) and ends in a switch."""
    words = [
        0x94000006,  # first: bl second
        0x94000007,  # bl third
        0xD61F0100,  # br x8
        0x91000400,  # a: add x0, x0, #1
        0xD65F03C0,  # ret
        0x97FFFFFB,  # another: bl first
        0x91000400,  # second: add x0, x0, #1
        0xD65F03C0,  # ret
        0xD65F03C0,  # third: ret
        0x97FFFFFF,  # bl third
    ]
    image = dynamic_image(struct.pack(f"<{len(words)}I", *words), AARCH64)
    functions = Functions(image, [CODE])
    assert functions.owner(CODE + 12) == Bounds(CODE, CODE + 0x14)
    assert functions.owner(CODE + 0x1C) == Bounds(CODE + 0x18, CODE + 0x20)
    assert functions.owner(CODE + 0x20) == Bounds(CODE + 0x20, CODE + 0x24)


def test_calls_to_where_there_is_no_code() -> None:
    """As what looks like one may."""
    words = [0x97FFFF00, 0x94001000, 0x94000001, 0xD65F03C0]
    image = dynamic_image(struct.pack("<4I", *words), AARCH64)
    assert Functions(image, [CODE]).owner(CODE + 12) == Bounds(CODE + 12, CODE + 16)


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
def test_any_bytes_are_code(machine: int) -> None:
    chance = random.Random(machine)
    for size in (0, 1, 3, 64, 20_000):
        functions = Functions(dynamic_image(chance.randbytes(size), machine), [CODE])
        for address in range(CODE, CODE + size, 97):
            owner = functions.owner(address)
            assert owner is None or owner.start < owner.end


def test_damaged_files(small_library: Path) -> None:
    whole = small_library.read_bytes()
    chance = random.Random(3)

    def questions(image: ElfImage) -> list:  # type: ignore[type-arg]
        code = [segment.address for segment in image.executable_segments()]
        return [lambda start=start: owner_at(image, start) for start in code]

    def owner_at(image: ElfImage, start: int) -> None:
        owner = Functions(image, [start]).owner(start + 0x40)
        assert owner is None or owner.start < owner.end

    answered = 0
    for _ in range(60):
        content = bytearray(whole[: chance.randrange(64, len(whole)) if chance.random() < 0.3 else None])
        for _ in range(chance.randrange(8)):
            content[chance.randrange(min(4096, len(content)))] = chance.randrange(256)
        answered += answers(bytes(content), questions)
    assert answered > 0, "some are damaged where it does not matter"


def test_code_full_of_calls_takes_no_time() -> None:
    """Each leads to the next one, which is then a function of its own."""
    fd = os.memfd_create("image")
    os.write(fd, elf_bytes(b"\xe8\0\0\0\0" * 12_000))
    start = time.monotonic()
    with ElfImage.adopt(fd, "image") as image:
        functions = Functions(image, [image.executable_segments()[0].address])
        assert functions.owner(image.executable_segments()[0].address + 160) is not None
    assert time.monotonic() - start < 5
