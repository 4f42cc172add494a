"""Bytes as rows of offset, hexadecimal and ASCII."""

from __future__ import annotations

from collections.abc import Iterator

from tlstap.sinks.layout import Segment

BYTES_PER_ROW = 16
_ASCII = bytes(byte if 0x20 <= byte < 0x7F else 0x2E for byte in range(256))
_HALF = 3 * BYTES_PER_ROW // 2 - 1
_FULL = 3 * BYTES_PER_ROW


def hexdump(data: bytes | bytearray, offset: int = 0) -> Iterator[list[Segment]]:
    """Rows for `data`, whose first byte is at `offset`. At an indentation of 4 a row has 78 columns."""
    for start in range(0, len(data), BYTES_PER_ROW):
        row = data[start : start + BYTES_PER_ROW]
        digits = row.hex(" ")
        halves = f"{digits[:_HALF]} {digits[_HALF:]}" if len(row) > BYTES_PER_ROW // 2 else digits
        yield [
            ("offset", f"{offset + start:06x}"),
            ("", f"  {halves:<{_FULL}}  "),
            ("string", row.translate(_ASCII).decode("ascii")),
        ]
