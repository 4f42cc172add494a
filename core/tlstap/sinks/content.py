"""Bodies and undecoded data as lines: text as text, JSON indented, anything else as a hex dump."""

from __future__ import annotations

from collections.abc import Iterator

from tlstap.protocols.http import charset
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.escape import escape_lines
from tlstap.sinks.heading import count
from tlstap.sinks.hexdump import hexdump
from tlstap.sinks.json_text import MAX_CHARACTERS, indent_json
from tlstap.sinks.layout import Segment

Buffer = bytes | bytearray
Line = list[Segment]

_MAX_CUT = 3
"""A piece of a stream may begin or end inside a UTF-8 character: that many bytes of it at most."""


def content_lines(data: Buffer, options: OutputOptions, content_type: str = "") -> Iterator[Line]:
    """Lines that show `data` up to the limits, and a note about what is left out; none for no data."""
    if not data:
        return iter(())
    if len(data) <= MAX_CHARACTERS and data.lstrip()[:1] in (b"{", b"["):
        lines = _json(data, options)
        if lines is not None:
            return iter(lines)
    return _text(data, options, content_type)


def as_text(data: Buffer, content_type: str = "", *, cut: bool = False) -> str | None:
    """`data` decoded, if it is text; bytes of a character that was cut in two at its ends as \\xNN.

    :param cut: more follows that is not shown.
    """
    text = charset.text(data, content_type, cut=cut)
    if text is not None:
        return text
    start = 0
    while start < min(_MAX_CUT, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    text = charset.utf8_text(data[start:], cut=True)
    if not text:
        return None
    end = start + len(text.encode())
    return f"{_raw(data[:start])}{text}{_raw(data[end:])}"


def _raw(data: Buffer) -> str:
    return data.decode("ascii", "backslashreplace")


def _text(data: Buffer, options: OutputOptions, content_type: str) -> Iterator[Line]:
    end = _cut(data, options.max_body)
    # With nothing to show, what it would have been is judged by its beginning.
    text = as_text(data[:end] or data[:1024], content_type, cut=end < len(data))
    if text is None:
        yield from _binary(data, options)
        return
    if end:
        for line in escape_lines(text):
            yield [("", line)]
    yield from _left_out(len(data) - end)


def _json(data: Buffer, options: OutputOptions) -> list[Line] | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    limit = options.max_body
    if limit is not None:
        limit = len(data[: _cut(data, limit)].decode())
    shown = indent_json(text, limit)
    if shown is None:
        return None
    lines, characters = shown
    return [*(lines if characters else ()), *_left_out(len(text[characters:].encode()))]


def _binary(data: Buffer, options: OutputOptions) -> Iterator[Line]:
    limits = [limit for limit in (options.max_body, options.max_binary) if limit is not None]
    end = min([len(data), *limits])
    yield [("note", f"[binary, {count(len(data), 'byte')}]")]
    yield from hexdump(data[:end])
    yield from _left_out(len(data) - end)


def _left_out(size: int) -> Iterator[Line]:
    if size:
        yield [("note", f"[{count(size, 'byte')} left out; --max-body all shows everything]")]


def _cut(data: Buffer, limit: int | None) -> int:
    """Where to cut `data`: at `limit`, or up to three bytes before it, not to cut a character in two."""
    if limit is None or len(data) <= limit:
        return len(data)
    for end in range(limit, max(limit - _MAX_CUT, 0) - 1, -1):
        if data[end] & 0xC0 != 0x80:
            return end
    return limit
