"""Damaged ELF files give results or an ElfError, nothing else, and soon."""

from __future__ import annotations

import os
import random
import struct
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.discovery.damaged import answers

from tlstap.discovery.disassembly import call_targets, first_instruction
from tlstap.discovery.elf import ElfImage
from tlstap.errors import ElfError

ABSURD = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
_SECONDS = 5.0


def use_everything(content: bytes) -> int:
    """Ask an image for all it can tell; the number of answers that were no ElfError."""
    return answers(
        content,
        lambda image: (
            lambda: image.sections,
            lambda: image.build_id,
            lambda: image.needed,
            lambda: image.soname,
            lambda: image.interpreter,
            lambda: image.contains(b"no such text"),
            lambda: image.exported_addresses(),
            lambda: [
                (first_instruction(image, symbol.address), call_targets(image, symbol))
                for symbol in image.symbols(["small_read", "hidden_part", "absent"]).values()
            ],
        ),
    )


def test_the_undamaged_file_answers_everything(small_library: Path) -> None:
    assert use_everything(small_library.read_bytes()) == 8


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes(small_library: Path, data: st.DataObject) -> None:
    content = bytearray(small_library.read_bytes())
    begin = time.monotonic()
    for _ in range(data.draw(st.integers(1, 8))):
        offset = data.draw(st.integers(0, len(content) - 1))
        content[offset] = data.draw(st.integers(0, 255))
    use_everything(bytes(content))
    assert time.monotonic() - begin < _SECONDS


def test_absurd_numbers_in_every_header(small_library: Path) -> None:
    """The file header, all program headers and all section headers, each field of each."""
    original = small_library.read_bytes()
    header = struct.unpack_from("<16sHHIQQQIHHHHHH", original)
    places = [(16, 4), *((offset, 2) for offset in range(16, 20, 2)), (24, 8), (32, 8), (40, 8)]
    places += [(offset, 2) for offset in range(52, 64, 2)]
    for number in range(header[10]):
        start = header[5] + number * 56
        places += [(start, 4), (start + 4, 4), *((start + at, 8) for at in range(8, 56, 8))]
    for number in range(header[12]):
        start = header[6] + number * 64
        places += [(start + at, 4) for at in (0, 4, 40, 44)]
        places += [(start + at, 8) for at in (8, 16, 24, 32, 48, 56)]
    begin = time.monotonic()
    for offset, size in places:
        for value in random.Random(offset).sample(ABSURD, 3):
            content = bytearray(original)
            content[offset : offset + size] = (value & (1 << size * 8) - 1).to_bytes(size, "little")
            use_everything(bytes(content))
    assert time.monotonic() - begin < 60


def test_every_truncation(small_library: Path) -> None:
    content = small_library.read_bytes()
    complete = 0
    for length in [*range(0, 1024, 7), *range(1024, len(content), 311)]:
        complete += use_everything(content[:length]) == 8
    assert complete == 0


def test_a_file_that_is_cut_while_it_is_read(small_library: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.so"
    path.write_bytes(small_library.read_bytes())
    with ElfImage.open(str(path)) as image:
        os.truncate(path, 200)
        with pytest.raises(ElfError, match="cut while it was read"):
            image.symbols(["small_read"])


def test_a_name_repeated_without_end_is_refused(small_library: Path) -> None:
    content = bytearray(small_library.read_bytes())
    header = struct.unpack_from("<16sHHIQQQIHHHHHH", content)
    for number in range(header[12]):
        start = header[6] + number * 64
        if struct.unpack_from("<I", content, start + 4)[0] == 3:  # every string table becomes this one
            struct.pack_into("<QQ", content, start + 24, len(content), 1 << 20)
    content += b"x\0" * (1 << 19)
    fd = os.memfd_create("image")
    os.write(fd, content)
    with ElfImage.adopt(fd, "repeats") as image, pytest.raises(ElfError, match="more than 65536 times"):
        image.symbols(["x"])
