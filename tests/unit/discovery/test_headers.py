"""Headers that are made to keep a parser busy, or to lead it elsewhere."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from elftools.common.exceptions import ELFError, ELFParseError
from elftools.construct import ConstructError

from tlstap.discovery.elf import ElfImage
from tlstap.errors import ElfError

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
BUILD_ID = struct.pack("<III4s4s", 4, 4, 3, b"GNU\0", b"\xca\xfe\xf0\x0d")
_SECONDS = 3.0


def elf(*segments: tuple[int, bytes], sections: bytes = b"", names: int = 0) -> bytes:
    """A file with these segments and section headers. The first byte of the whole is at address 0."""
    count = len(segments) + 1
    body = b""
    offset = 64 + 56 * count
    headers = b""
    for kind, content in segments:
        at = offset + len(body)
        headers += struct.pack("<IIQQQQQQ", kind, 4, at, at, at, len(content), len(content), 1)
        body += content
    size = offset + len(body)
    headers += struct.pack("<IIQQQQQQ", PT_LOAD, 4, 0, 0, 0, size, size, 1)
    number = len(sections) // 64
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(ident, 3, 62, 1, 0, 64, size if sections else 0, 0, 64, 56, count, 64, number, names),
    )
    return header + headers + body + sections


def dynamic_file(*entries: tuple[int, int], strings: bytes = b"", end: bool = True) -> bytes:
    """A file with a dynamic section, whose string table is right behind the program headers."""
    table = 64 + 56 * 3
    section = b"".join(struct.pack("<qQ", tag, value) for tag, value in ((5, table), *entries))
    return elf((7, strings), (PT_DYNAMIC, section + bytes(16 * end)))


@contextmanager
def opened(content: bytes, size: int = 0) -> Iterator[ElfImage]:
    """The image, in time; the file is extended to `size` by zeros that take no memory."""
    fd = os.memfd_create("image")
    os.write(fd, content)
    os.truncate(fd, max(size, len(content)))
    begin = time.monotonic()
    with ElfImage.adopt(fd, "made-up") as image:
        yield image
    assert time.monotonic() - begin < _SECONDS


def test_a_build_id_in_the_second_note_of_the_second_segment() -> None:
    note = struct.pack("<III8s8s", 5, 7, 3, b"Mine\0", b"1234567")
    with opened(elf((PT_NOTE, note), (PT_NOTE, note + BUILD_ID))) as image:
        assert image.build_id == "cafef00d"
    with opened(elf((PT_NOTE, note))) as image:
        assert image.build_id is None


def test_a_build_id_that_goes_on_behind_its_segment_is_none() -> None:
    note = struct.pack("<III4s4s", 4, 20, 3, b"GNU\0", b"\xca\xfe\xf0\x0d")
    with opened(elf((PT_NOTE, note)), 1 << 20) as image:
        assert image.build_id is None


def test_a_note_is_not_followed_out_of_its_segment() -> None:
    """Properties of 4 GiB, eight bytes each: a parser that reads on is busy for an hour."""
    note = struct.pack("<III4s", 4, 0xFFFFFFF0, 5, b"GNU\0")
    with opened(elf((PT_NOTE, note)), 1 << 33) as image, pytest.raises(ElfError, match="made-up: a note"):
        _ = image.build_id


def test_many_large_note_segments() -> None:
    properties = struct.pack("<III4s", 4, 60_000, 5, b"GNU\0") + bytes(60_000)
    name = struct.pack("<III", 60_000, 0, 1) + b"x" * 59_999 + b"\0"
    empty = struct.pack("<III", 0, 0, 1) * 5_000
    for notes in (properties, name, empty):
        with opened(elf(*[(PT_NOTE, notes)] * 200)) as image:
            assert image.build_id is None


def test_needed_and_soname() -> None:
    strings = b"\0libone.so\0libtwo\xff.so\0libme.so\0"
    offsets = [strings.index(b"lib" + name) for name in (b"one", b"two", b"me")]
    entries = ((1, offsets[0]), (1, offsets[1]), (14, offsets[2]), (10, len(strings)))
    for end in (True, False):
        with opened(dynamic_file(*entries, strings=strings, end=end)) as image:
            assert image.needed == ("libone.so", os.fsdecode(b"libtwo\xff.so"))
            assert image.soname == "libme.so"


def test_a_dynamic_section_without_end() -> None:
    """Half a million entries: only the first 4096 are looked at."""
    strings = b"\0libme.so\0"
    entries = [(21, 0)] * 4093  # DT_DEBUG, and DT_STRTAB is in front of them
    with opened(dynamic_file((10, 10), *entries, (14, 1), *[(21, 0)] * 500_000, strings=strings)) as image:
        assert image.soname == "libme.so"
    with opened(dynamic_file((10, 10), *entries, (21, 0), (14, 1), (1, 1), strings=strings)) as image:
        assert image.soname is None
        assert image.needed == ()


def test_dynamic_strings_are_bounded_and_inside_their_table() -> None:
    strings = b"A" * 100_000
    with opened(dynamic_file(*[(1, 0)] * 4000, (10, len(strings)), strings=strings)) as image:
        assert set(image.needed) == {"A" * 4096}
    with (
        opened(dynamic_file((1, 4), (10, 4), strings=b"text\0")) as image,
        pytest.raises(ElfError, match="outside its table"),
    ):
        _ = image.needed
    with (
        opened(dynamic_file((1, 1 << 40), (10, 1 << 60), strings=b"text\0")) as image,
        pytest.raises(ElfError, match="a dynamic string would end at byte"),
    ):
        _ = image.needed
    content = elf((PT_DYNAMIC, struct.pack("<qQqQ", 5, 1 << 60, 1, 0)))
    with opened(content) as image, pytest.raises(ElfError, match="in no loaded segment"):
        _ = image.needed


def test_interpreters() -> None:
    with opened(elf((PT_INTERP, b"/lib/ld.so\0rest"))) as image:
        assert image.interpreter == "/lib/ld.so"
    with opened(elf((PT_INTERP, b""))) as image:
        assert image.interpreter is None
    for path in (b"no end", b"\xff\0", b"A" * 5000):
        with (
            opened(elf((PT_INTERP, path)), 1 << 20) as image,
            pytest.raises(ElfError, match=r"^made-up: the interpreter's path can't be parsed: "),
        ):
            _ = image.interpreter


def test_as_many_sections_as_can_be_of_every_kind() -> None:
    kinds = (*range(20), *range(0x6FFFFFF0, 0x70000000), 0x70000001)
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", 0, kinds[number % len(kinds)], 0x800, 0, 0, 64, number, 0, 1, 24)
        for number in range(65_535)
    )
    names = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 4, 60, 0, 0, 1, 0)
    with opened(elf(sections=names + table[64:])) as image:
        assert len(image.sections) == 65_535
        assert {section.name for section in image.sections} == {"\x02\x01\x01"}


@pytest.mark.parametrize("table", [b"A" * (1 << 20), b"A" * 256 + b"\0"])
def test_names_of_sections_without_end_or_too_long(table: bytes) -> None:
    names = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64 + 56 * 2, len(table), 0, 0, 1, 0)
    content = elf((7, table), sections=names * 60_000)
    with opened(content) as image, pytest.raises(ElfError, match="name is not in the table"):
        _ = image.sections


@pytest.mark.parametrize(
    "error",
    [
        ELFError("odd"),
        ELFParseError("odd"),
        ConstructError("odd"),
        struct.error("odd"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
        OverflowError("odd"),
        ValueError("odd"),
        TypeError("odd"),
        EOFError("odd"),
        AttributeError("odd"),
        RecursionError("odd"),
        KeyError("odd"),
        IndexError("odd"),
        MemoryError(),
        AssertionError(),
    ],
)
def test_whatever_the_parser_raises(
    error: Exception, small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    reason = "odd" if error.args else type(error).__name__
    with ElfImage.open(str(small_library)) as image:
        monkeypatch.setattr("tlstap.discovery.headers.struct_parse", fail)
        with pytest.raises(ElfError, match=rf"^{small_library}: the section headers can't .*{reason}"):
            _ = image.sections
        monkeypatch.setattr("tlstap.discovery.headers.NoteSegment.iter_notes", fail)
        with pytest.raises(ElfError, match=rf"^{small_library}: a note segment can't .*{reason}"):
            _ = image.build_id
        monkeypatch.setattr("tlstap.discovery.headers.Dynamic.iter_tags", fail)
        with pytest.raises(ElfError, match=rf"^{small_library}: the dynamic section can't .*{reason}"):
            _ = image.soname
    monkeypatch.setattr("tlstap.discovery.headers.ELFFile", fail)
    with pytest.raises(ElfError, match=rf"^{small_library}: the ELF header can't .*{reason}"):
        ElfImage.open(str(small_library))
