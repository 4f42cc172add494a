"""Where texts are in an image."""

from __future__ import annotations

import struct

import pytest
from tests.unit.discovery.dynamic_elves import CODE, DATA, dynamic_image
from tests.unit.discovery.elves import BASE, elf_bytes, elf_image

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.strings import LONGEST, MAX_FOUND, find_strings
from tlstap.errors import ElfError

ENDING = b"lib.cc\0"


def texts(data: bytes) -> list[range]:
    """What is found in an image whose variables these are, by their distance from the first."""
    image = dynamic_image(bytes(16), data=data)
    return [range(one.start - DATA, one.stop - DATA) for one in find_strings(image, ENDING)]


@pytest.mark.parametrize("before", [b"\0", b"\x1f", b"\n", b"\x7f", b"\xff", b"abc\0"])
def test_texts_begin_behind_what_is_not_printable(before: bytes) -> None:
    data = before + b"a path/" + ENDING + b"more"
    assert texts(data) == [range(len(before), len(data) - 4)]


def test_text_at_both_ends_of_the_data() -> None:
    assert texts(ENDING + b"other\0" + ENDING) == [range(0, 7), range(13, 20)]


def test_an_ending_without_its_end() -> None:
    assert texts(b"lib.cc") == texts(b"lib.ccc\0") == texts(b"") == []


def test_printable_data_in_front_is_taken_for_a_part() -> None:
    """Nothing tells it from the text; but it has an end."""
    assert texts(b"~" * 4 + ENDING) == [range(0, 11)]
    assert texts(b"~" * 2000 + ENDING) == [range(2000 - LONGEST, 2007)]


@pytest.mark.parametrize("distance", [-3, -1, 0, 1, LONGEST, LONGEST + 6, LONGEST + 7, LONGEST + 8])
def test_texts_near_the_end_of_a_piece(distance: int) -> None:
    """Files are read in pieces that overlap."""
    text = b"\0" + b"x" * 40 + ENDING
    position = (1 << 20) + distance
    assert texts(bytes(position) + text + bytes(5000)) == [range(position + 1, position + len(text))]


def test_code_is_searched_only_where_nothing_tells_it_from_data() -> None:
    with_sections = elf_image(b"\xccin code " + ENDING, data=b"in data " + ENDING)
    (found,) = find_strings(with_sections, ENDING)
    assert with_sections.read(found.start, len(found)) == b"in data " + ENDING
    without = dynamic_image(b"\xcc" + ENDING)
    assert find_strings(without, ENDING) == [range(CODE + 1, CODE + 8)]


def test_too_many_texts() -> None:
    assert len(texts((b"\0" + ENDING) * MAX_FOUND)) == MAX_FOUND
    with pytest.raises(ElfError, match="more than 64 texts end with"):
        texts((b"\0" + ENDING) * (MAX_FOUND + 1))


def test_sections_that_claim_the_file_many_times(tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(elf_bytes(bytes(16), data=ENDING))
    (headers_at,) = struct.unpack_from("<Q", content, 0x28)
    data = content[headers_at + 128 : headers_at + 192]
    struct.pack_into("<QQ", data, 24, 0, len(content) + 64 * 100)
    content = content[:headers_at] + content[headers_at : headers_at + 128] + data * 100
    struct.pack_into("<HH", content, 0x3C, 102, 0)
    path = tmp_path_factory.mktemp("elf") / "file"
    path.write_bytes(content)
    with ElfImage.open(str(path)) as image, pytest.raises(ElfError):
        find_strings(image, ENDING)


def test_addresses_are_those_of_the_segment() -> None:
    image = elf_image(bytes(16), data=b"\0" + ENDING)
    (found,) = find_strings(image, ENDING)
    assert found.start > BASE and image.read(found.start, 7) == ENDING
