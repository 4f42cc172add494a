"""Sizes, times and addresses in few columns."""

from __future__ import annotations

from rich.cells import cell_len, get_character_cell_size

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size(number: int) -> str:
    """A number of bytes, to three digits: "999 B", "1.23 kB", "45.6 MB"."""
    if number < 1000:
        return f"{number} B"
    value, power = number / 1000, 0
    while value >= 999.5 and power < len(_UNITS) - 1:
        value, power = value / 1000, power + 1
    return f"{_three_digits(value)} {_UNITS[power]}"


def span(nanoseconds: int) -> str:
    """A time span, to three digits: "0.12 ms", "45.6 ms", "1.23 s"."""
    milliseconds = nanoseconds / 1_000_000
    if abs(milliseconds) < 999.5:
        return f"{_three_digits(milliseconds)} ms"
    return f"{_three_digits(milliseconds / 1000)} s"


def _three_digits(value: float) -> str:
    if abs(value) < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 99.95 else f"{value:,.0f}"


def shorten(text: str, columns: int, ellipsis: str = "…") -> str:
    """`text` in at most so many columns: its middle is left out where it is too long."""
    if (len(text) if text.isascii() else cell_len(text)) <= columns:
        return text
    room = max(columns - cell_len(ellipsis), 0)
    head = _fitting(text, (room + 1) // 2)
    tail = _fitting(text[::-1], room - (room + 1) // 2)[::-1]
    return f"{head}{ellipsis}{tail}"


def _fitting(text: str, columns: int) -> str:
    """The beginning of `text` that fits."""
    used = 0
    for index, character in enumerate(text):
        used += get_character_cell_size(character)
        if used > columns:
            return text[:index]
    return text


def pad(text: str, columns: int) -> str:
    """`text`, filled up with spaces on the right."""
    return text + " " * (columns - cell_len(text))
