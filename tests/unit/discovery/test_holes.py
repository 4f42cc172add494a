"""A file may claim to be huge and take no room: its holes are skipped, and what is left is bounded."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from tests.unit.discovery.elves import BASE, X86_64, elf_bytes

from tlstap.discovery.code_scan import Reference, code_references
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.strings import find_strings
from tlstap.errors import ElfError

GIB = 1 << 30
TEXT = b"far away\0"
TARGET = BASE + 0x100


def sparse(path: Path, size: int, content: dict[int, bytes], flags: int = 5) -> ElfImage:
    """An image with one loaded segment and no sections: a hole but for the content at these addresses."""
    header = bytearray(elf_bytes(b"\xc3", X86_64)[:120])
    header[40:48] = bytes(8)  # no section headers
    header[60:62] = bytes(2)
    header[64:120] = struct.pack("<IIQQQQQQ", 1, flags, 0x1000, BASE, BASE, size, size, 0x1000)
    with path.open("wb") as file:
        file.truncate(0x1000 + size)
        file.write(header)
        for address, text in content.items():
            file.seek(0x1000 + address - BASE)
            file.write(text)
    return ElfImage.open(str(path))


def test_holes_are_skipped(tmp_path: Path) -> None:
    far = BASE + 3 * GIB
    call = b"\xe8" + struct.pack("<i", TARGET - (BASE + 0x200 + 5))
    with sparse(tmp_path / "image", 3 * GIB + 4096, {BASE + 0x200: call, far: b"\0" + TEXT}) as image:
        assert image.contains(TEXT, b"nowhere") == {TEXT}
        (found,) = find_strings(image, TEXT)
        assert found == range(far + 1, far + 1 + len(TEXT))
        read: list[int] = []
        references = code_references(image, [range(TARGET, TARGET + 1)], read.append)
        assert references == [Reference(BASE + 0x200, TARGET, "call")]
        assert sum(read) < 16 << 20, "only what takes room is read"


def test_a_hole_alone(tmp_path: Path) -> None:
    with sparse(tmp_path / "image", 3 * GIB, {}) as image:
        assert image.contains(TEXT) == set()
        assert code_references(image, [range(TARGET, TARGET + 1)]) == []


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    with sparse(tmp_path / "image", 5 * GIB, {}) as image:
        with pytest.raises(ElfError, match="bytes of data are too many to be looked through"):
            image.contains(TEXT)
        with pytest.raises(ElfError, match="bytes of code are too many to be looked through"):
            code_references(image, [range(TARGET, TARGET + 1)])


def test_content_that_a_hole_follows_in_one_piece(tmp_path: Path) -> None:
    """A reference right before a hole, and one right behind."""
    places = [BASE + 0x200, BASE + 8 * (256 << 10) - 5, BASE + 64 * (256 << 10) + 3]
    calls = {place: b"\xe8" + struct.pack("<i", TARGET - (place + 5)) for place in places}
    with sparse(tmp_path / "image", GIB, calls) as image:
        assert [one.address for one in code_references(image, [range(TARGET, TARGET + 1)])] == places


def test_the_position_in_the_file_is_the_caller_s(tmp_path: Path) -> None:
    sparse(tmp_path / "image", GIB, {}).close()
    fd = os.open(tmp_path / "image", os.O_RDONLY)
    try:
        with ElfImage.from_fd(fd, "image") as image:
            image.contains(TEXT)
        assert os.read(fd, 4) == b"\x7fELF"
    finally:
        os.close(fd)
