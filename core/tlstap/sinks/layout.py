"""Lines of styled, escaped text: colours, and wrapping to the width of a terminal.

Styles are rich's; they are rendered once, as rich's Console costs about 40 us a line.
"""

from __future__ import annotations

from rich.cells import cell_len, get_character_cell_size
from rich.color import ColorSystem
from rich.style import Style

Segment = tuple[str, str]
"""(style's name or "", escaped text)."""

INDENT = 4
"""Columns before what belongs to a block's first line."""

STYLES = {
    "time": "dim",
    "tag": "bold yellow",
    "process": "bold",
    "write": "bold cyan",
    "read": "bold green",
    "request": "bold",
    "method": "bold magenta",
    "ok": "bold green",
    "redirect": "bold cyan",
    "refused": "bold yellow",
    "failed": "bold red",
    "name": "cyan",
    "note": "dim",
    "warning": "bold red",
    "key": "blue",
    "string": "green",
    "literal": "magenta",
    "offset": "dim",
}
"""The sixteen colours that every terminal's own theme defines; none is the only carrier of a meaning."""


class Layout:
    """Turns segments into text, with or without colour, wrapped or not."""

    def __init__(self, color: bool, width: int | None) -> None:
        self._codes: dict[str, tuple[str, str]] = {}
        if color:
            for name, definition in STYLES.items():
                rendered = Style.parse(definition).render("|", color_system=ColorSystem.STANDARD)
                start, _, end = rendered.partition("|")
                self._codes[name] = (start, end)
        self._width = max(width, 3 * INDENT) if width is not None else None

    def line(self, segments: list[Segment], indent: int = INDENT) -> str:
        """One line, ended; wrapped at any column, continued at an indentation."""
        length = indent + sum(len(text) for _, text in segments)
        if self._width is None or (length <= self._width and all(text.isascii() for _, text in segments)):
            return self._row(segments, indent)
        rows = self._wrap(segments, self._width, indent)
        return "".join(
            [self._row(rows[0], indent), *[self._row(row, max(indent, INDENT)) for row in rows[1:]]]
        )

    def words(self, words: list[list[Segment]]) -> str:
        """One line, ended, of words with a space between them; wrapped between words where possible."""
        row: list[Segment] = []
        used = 0
        lines: list[str] = []
        for word in words:
            length = sum(cell_len(text) for _, text in word)
            if row and self._width is not None and used + 1 + length > self._width:
                lines.append(self.line(row, INDENT if lines else 0))
                row, used = [], INDENT
            if row:
                row.append(("", " "))
                used += 1
            row += word
            used += length
        lines.append(self.line(row, INDENT if lines else 0))
        return "".join(lines)

    def _row(self, segments: list[Segment], indent: int) -> str:
        codes = self._codes
        parts = [" " * indent] if any(text for _, text in segments) else []
        for style, text in segments:
            if style and text and codes:
                start, end = codes[style]
                parts.append(f"{start}{text}{end}")
            else:
                parts.append(text)
        parts.append("\n")
        return "".join(parts)

    @staticmethod
    def _wrap(segments: list[Segment], width: int, indent: int) -> list[list[Segment]]:
        rows: list[list[Segment]] = [[]]
        room = width - indent
        for style, text in segments:
            start = 0
            while start < len(text):
                end = _fitting(text, start, room)
                if end < len(text):
                    end = _at_space(text, start, end)
                if end > start:
                    piece = text[start:end]
                    rows[-1].append((style, piece))
                    room -= cell_len(piece)
                    start = end
                if start < len(text):
                    rows.append([])
                    room = width - max(indent, INDENT)
        return rows


def _fitting(text: str, start: int, room: int) -> int:
    """Up to where `text`, from `start` on, fits into `room` columns."""
    if text.isascii():
        return min(len(text), start + room)
    used = 0
    # A character may take no column at all, so the end is not known before.
    for end in range(start, len(text)):
        used += get_character_cell_size(text[end])
        if used > room:
            return end
    return len(text)


def _at_space(text: str, start: int, end: int) -> int:
    """Where to break `text` at or before `end`: behind a space, if one is near."""
    space = text.rfind(" ", (start + end) // 2, end)
    return end if space < 0 else space + 1
