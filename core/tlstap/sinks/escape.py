"""Makes captured text safe for a terminal: the only way from traffic to the screen.

What a terminal would act on instead of showing it becomes visible: control characters (C0, DEL, C1),
directional overrides and other invisible format characters, line and paragraph separators, and bytes that
are not UTF-8. A backslash in the traffic stays as it is, so text output is for reading; `-f json` is exact.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Iterator

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
TAB = 4
"""Columns between tab stops in multi-line text."""


def escape(text: str) -> str:
    """`text` as one line of printable characters."""
    if text.isprintable():
        return text
    return _NOT_PLAIN.sub(_visible, text)


def escape_bytes(data: bytes) -> str:
    """`data` as one line of printable characters: UTF-8 where it is, \\xNN where it is not."""
    return escape(data.decode("utf-8", "backslashreplace"))


def escape_lines(text: str) -> Iterator[str]:
    """`text` as lines of printable characters; line ends are LF or CR LF, tabs become spaces."""
    for line in io.StringIO(text):
        yield escape(line.removesuffix("\n").removesuffix("\r").expandtabs(TAB))


def escape_json(line: str) -> str:
    """A line of JSON, which says the same, without what a terminal would act on."""
    if line.isascii():
        return line.replace("\x7f", "\\u007f")
    # Outside ASCII is only what stands inside strings, where \u is understood.
    return _NOT_PLAIN.sub(_json_visible, line)


def _json_visible(match: re.Match[str]) -> str:
    character = match.group()
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    # isprintable() is False for the categories C* and Z* except the space; other spaces are harmless.
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
