"""Reads the values of one direction, from bytes in any pieces. Bounded in memory and depth, linear in time.

Written out because the parsers that there are (hiredis) hold a value whole, however large it is, and can't go
on behind a gap. Values of unknown length (`$?`), which no server sends, are not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import tlstap
from tlstap_redis.commands import is_known
from tlstap_redis.value import Value, is_command

MAX_LINE = 64 * 1024
"""Bytes of a line, as Redis has it for inline commands."""
MAX_DEPTH = 64
KINDS = {
    b"*": "array",
    b"$": "bulk",
    b"+": "simple",
    b"-": "error",
    b":": "integer",
    b"_": "null",
    b"#": "boolean",
    b",": "double",
    b"(": "big-number",
    b"!": "bulk-error",
    b"=": "verbatim",
    b"%": "map",
    b"~": "set",
    b">": "push",
    b"|": "attribute",
}
_COUNT = re.compile(rb"\d{1,10}")
_SIZE = re.compile(rb"\d{1,12}")
_LINES = {
    b"+": re.compile(rb"[^\r]*"),
    b"-": re.compile(rb"[^\r]*"),
    b":": re.compile(rb"[+-]?\d{1,20}"),
    b"_": re.compile(rb""),
    b"#": re.compile(rb"[tf]"),
    b",": re.compile(rb"[-+.\deEinfa]{1,64}"),
    b"(": re.compile(rb"[+-]?\d+"),
}
_END = b"\r\n"


class NotRespError(Exception):
    """What follows is no value. `unread` is all of it, to the end of the piece that was fed."""

    def __init__(self, unread: bytes) -> None:
        super().__init__("not RESP")
        self.unread = unread


class Reader:
    """Reads values from where one begins.

    :param is_client: tells whether these are the client's bytes; None if that is not known.
    """

    def __init__(self, memory: tlstap.Allowance, is_client: Callable[[], bool | None]) -> None:
        self._memory = memory
        self._is_client = is_client
        self._line = tlstap.Held(memory)
        self._value: Value | None = None
        # Of the aggregates around what comes next: elements still to come, and whether it is an attribute.
        self._stack: list[tuple[int, bool]] = []
        # Of a bulk string: bytes still to come, those of the line's end behind it among them.
        self._left = 0

    def feed(self, piece: bytes) -> Iterator[Value]:
        """The values that end in the next bytes. Raises NotRespError where something is none."""
        at = 0
        while at < len(piece):
            at = self._bulk(piece, at) if self._left else self._read_line(piece, at)
            value = self._value
            if value is not None and not self._stack and not self._left:
                self._value = None
                yield value

    def skip(self, size: int) -> bool:
        """Go on behind a gap. False if it is not within a string, so that nobody knows what comes next."""
        if self._value is None or size > self._left:
            return False
        self._value.lose(min(size, max(0, self._left - len(_END))))
        self._left -= size
        if not self._left:
            self._end_element()
        return True

    def ended(self) -> Value | None:
        """A value that `skip` has ended."""
        if self._value is None or self._stack or self._left:
            return None
        value, self._value = self._value, None
        return value

    def abandon(self) -> Value | None:
        """The value that is not complete, if one has begun. The next bytes begin a new one."""
        value = self._value
        line = bytes(self._line.data)
        self._line.clear()
        if value is None and line[:1] in KINDS:
            value = self._new(KINDS[line[:1]])
            value.add_part(line[1:])
        self._value, self._left = None, 0
        self._stack.clear()
        return value

    def _new(self, kind: str) -> Value:
        return Value(kind, self._memory)

    def _begin_part(self, value: Value, length: int | None) -> None:
        if value.parts == 1 and is_command(value, self._is_client()):
            value.separator = b" "
        value.begin_part(length)

    def _bulk(self, piece: bytes, at: int) -> int:
        """The next bytes of a string, and of the line's end behind it."""
        assert self._value is not None
        content = min(self._left - len(_END), len(piece) - at)
        if content > 0:
            whole = at == 0 and content == len(piece)
            self._value.content.add(piece if whole else piece[at : at + content])
            self._left -= content
            at += content
        if self._left <= len(_END):
            end = piece[at : at + self._left]
            if not _END[len(_END) - self._left :].startswith(end):
                raise NotRespError(piece[at:])
            self._left -= len(end)
            at += len(end)
            if not self._left:
                self._end_element()
        return at

    def _read_line(self, piece: bytes, at: int) -> int:
        end = piece.find(b"\n", at, at + MAX_LINE) + 1
        stop = end or len(piece)
        line = piece[at:end]
        if not end or self._line.size:
            before = self._line.size
            if before + stop - at <= MAX_LINE:
                self._line.add(piece[at:stop])
            kept = len(self._line.data)
            if self._line.size == before or kept < self._line.size:
                unread = bytes(self._line.data) + piece[at + kept - before :]
                self._line.clear()
                raise NotRespError(unread)
            if not end:
                return stop
            line = bytes(self._line.data)
            self._line.clear()
        if not self._take(line):
            raise NotRespError(line + piece[end:])
        return end

    def _take(self, line: bytes) -> bool:
        """A line is complete. False if it is none of RESP's."""
        kind, body = line[:1], line[1:-2]
        if kind not in KINDS:
            return not self._stack and self._inline(line)
        if not line.endswith(_END):
            return False
        form = _LINES.get(kind)
        if form is not None:
            return form.fullmatch(body) is not None and self._leaf(kind, None if kind == b"_" else body)
        if body == b"-1" and kind in b"$*":
            return self._leaf(b"_", None)
        if kind in b"$!=":
            return _SIZE.fullmatch(body) is not None and self._string(kind, int(body))
        return _COUNT.fullmatch(body) is not None and self._aggregate(kind, int(body))

    def _leaf(self, kind: bytes, text: bytes | None) -> bool:
        value = self._value = self._value or self._new(KINDS[kind])
        self._begin_part(value, None if text is None else len(text))
        value.content.add(text or b"")
        self._end_element()
        return True

    def _string(self, kind: bytes, size: int) -> bool:
        value = self._value = self._value or self._new(KINDS[kind])
        self._begin_part(value, size)
        self._left = size + len(_END)
        return True

    def _aggregate(self, kind: bytes, count: int) -> bool:
        if len(self._stack) >= MAX_DEPTH:
            return False
        self._value = self._value or self._new(KINDS[kind])
        count = 2 * count if kind in b"%|" else count
        if count:
            self._stack.append((count, kind == b"|"))
        elif kind != b"|":
            self._end_element()
        return True

    def _inline(self, line: bytes) -> bool:
        """A command as one types it. Anything may stand there, so it has to be a known one."""
        words = line.split(None, 1)
        if self._is_client() is not True or (words and not is_known(words[0])):
            return False
        if words:
            self._value = self._new("inline")
            self._value.add_part(line.rstrip(_END))
        return True

    def _end_element(self) -> None:
        """Something is complete; so may be what it is in. An attribute is no element of anything."""
        stack = self._stack
        while stack:
            left, attribute = stack.pop()
            if left > 1:
                stack.append((left - 1, attribute))
                return
            if attribute:
                return
