"""Finds text in an image's data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

LONGEST = 512
"""Bytes before an ending in which the text's start is looked for."""
MAX_FOUND = 64


def find_strings(image: ElfImage, ending: bytes) -> list[range]:
    """Addresses of the texts (printable ASCII) that end so, each from its first byte to behind the ending.

    Where other data stands right before a text and happens to be printable, it is taken for a part of it.

    :raise ElfError: if there are more than MAX_FOUND, or the image is malformed.
    """
    found: set[range] = set()
    for address, offset, size in image.data_parts():
        covered = offset
        for start, chunk in image.chunks(offset, size, LONGEST + len(ending), "data"):
            position = chunk.find(ending)
            while position >= 0:
                end = start + position + len(ending)
                if end > covered:  # else it has been found in the chunk before, with what is before it
                    first = start + _text_start(chunk, position)
                    found.add(range(address + first - offset, address + end - offset))
                    if len(found) > MAX_FOUND:
                        raise image.error(f"more than {MAX_FOUND} texts end with {ending!r}")
                position = chunk.find(ending, position + 1)
            covered = start + len(chunk)
    return sorted(found, key=lambda text: text.start)


def _text_start(chunk: bytes, position: int) -> int:
    """Where the printable text that goes on at this position begins, at most LONGEST bytes before."""
    limit = max(0, position - LONGEST)
    while position > limit and 0x20 <= chunk[position - 1] < 0x7F:
        position -= 1
    return position
