"""Server-sent events, as the HTML standard interprets an event stream.

Written out because the small libraries without an HTTP client pull from a blocking source, without bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import JsonValue

from tlstap.protocols.body_formats import BodyFormat, BodyReader, Part
from tlstap.protocols.held import Held
from tlstap.protocols.http.media_type import media_type
from tlstap.protocols.memory import Allowance
from tlstap.records import Exchange, Message, Missing

MAX_NAME = 1024
"""Bytes that are kept of an event's name and id."""
_LINE_END = re.compile(rb"\r\n|\r|\n")
_MAX_RETRY = 18
_BOM = b"\xef\xbb\xbf"


class Sse(BodyFormat):
    """Responses of type text/event-stream."""

    name = "sse"

    def reader(self, exchange: Exchange, message: Message, memory: Allowance) -> BodyReader | None:
        if message.is_request or media_type(message.headers) != "text/event-stream":
            return None
        return SseReader(memory)


class _Event:
    """An event that is being received, apart from its data."""

    __slots__ = ("cut", "name", "retry")

    def __init__(self) -> None:
        self.name = ""
        self.retry: int | None = None
        self.cut = 0


class SseReader(BodyReader):
    """Gives out an event when its blank line arrives.

    `payload` is the event's data as it was sent, `type` its name, "message" by default; `details` has the
    last event's id if there is one, and the reconnection time where the event sets it. What a loss or the
    end cuts off is given out as far as it came, with what it lacks; so is what was lost between events.
    """

    def __init__(self, memory: Allowance) -> None:
        self._line = Held(memory)
        self._data = Held(memory)
        self._event = _Event()
        self._has_data = False
        self._id = ""
        self._id_cut = 0
        self._begun = False
        self._after_cr = False
        # Behind a gap: its size, or None if unknown. What follows counts from the next blank line on.
        self._lost: int | None = 0
        self._searching = False
        self._fragment = False

    def feed(self, piece: bytes) -> Iterator[Part]:
        at = 1 if self._after_cr and piece.startswith(b"\n") else 0
        self._after_cr = self._after_cr and not piece
        for end in _LINE_END.finditer(piece, at):
            line = piece[at : end.start()]
            at = end.end()
            self._after_cr = at == len(piece) and piece.endswith(b"\r")
            if self._searching:
                yield from self._search(line)
            elif self._line.size:
                self._line.add(line)
                yield from self._take(*self._held_line())
            else:
                yield from self._take(line, len(line))
        if at == len(piece):
            return
        if self._searching:
            self._fragment = True
        else:
            self._line.add(piece[at:])

    def _search(self, line: bytes) -> Iterator[Part]:
        """A line behind a gap. The first one has lost its beginning, so that it is not known to be blank."""
        if not line and not self._fragment:
            self._searching = False
            yield self._out([Missing("message", "lost", self._lost)])
        self._fragment = False

    def _take(self, line: bytes, size: int) -> Iterator[Part]:
        """A line is complete; `line` is what is kept of its `size` bytes."""
        if not self._begun:
            self._begun = True
            if line.startswith(_BOM):
                line, size = line[3:], size - 3
        if not size:
            if self._has_data:
                yield self._out([])
            else:
                self._clear()
            return
        name, colon, value = line.partition(b":")
        value, dropped = value.removeprefix(b" "), size - len(line)
        if dropped and not colon:
            # Not even the field's name was kept; it may have been data.
            self._add(b"", size)
            return
        match name:
            case b"data":
                self._add(value, dropped)
            case b"event":
                self._event.name, self._event.cut = _text(value, dropped)
            case b"id" if b"\0" not in value:
                self._id, self._id_cut = _text(value, dropped)
            case b"retry" if value.isdigit() and len(value) <= _MAX_RETRY:
                self._event.retry = int(value)

    def _add(self, value: bytes, dropped: int) -> None:
        """A line of data; `dropped` bytes more were not kept."""
        if self._has_data:
            self._data.add(b"\n")
        self._has_data = True
        self._data.add(value)
        self._data.skip(dropped)

    def gap(self, size: int | None) -> Iterator[Part]:
        if size == 0:
            return
        if not self._searching:
            self._pending_line()
            self._searching, self._lost = True, 0
            # An id may have been lost as well.
            self._id, self._id_cut = "", 0
        self._lost = None if size is None or self._lost is None else self._lost + size
        self._fragment, self._after_cr, self._begun = True, False, True
        yield from ()

    def finish(self, *, unfinished: bool) -> Iterator[Part]:
        if self._searching:
            yield self._out([Missing("message", "lost", self._lost)])
        else:
            self._pending_line()
            if self._has_data:
                yield self._out([Missing("message", "unfinished")])
        self._clear()

    def _pending_line(self) -> None:
        """The line that is being received is not completed: take what there is of it."""
        if self._line.size:
            for _ in self._take(*self._held_line()):
                raise AssertionError("a line with content ends no event")

    def _held_line(self) -> tuple[bytes, int]:
        line, size = bytes(self._line.data), self._line.size
        self._line.clear()
        return line, size

    def _out(self, missing: list[Missing]) -> Part:
        """The event that is complete, or as complete as it will get."""
        event, data = self._event, self._data
        details: dict[str, JsonValue] = {}
        if self._id:
            details["id"] = self._id
        if event.retry is not None:
            details["retry"] = event.retry
        cut = data.size - len(data.data) + event.cut + self._id_cut
        if cut:
            missing.append(Missing("message", "over the limit", cut))
        part = Part(event.name or "message", bytes(data.data), data.size, details, missing)
        self._clear()
        return part

    def _clear(self) -> None:
        self._event = _Event()
        self._has_data = False
        self._data.clear()


def _text(value: bytes, dropped: int) -> tuple[str, int]:
    """The first characters of a name or id, and how many bytes more there were."""
    return value[:MAX_NAME].decode("utf-8", "replace"), max(0, len(value) - MAX_NAME) + dropped
