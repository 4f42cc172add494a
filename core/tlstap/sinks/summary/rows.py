"""Rows of the summary: columns that fit the terminal, aligned with those above."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TextIO

from rich.cells import cell_len

from tlstap.records import Connection, Direction
from tlstap.schema import Process
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import arrows_for, clock, process_words, tag
from tlstap.sinks.layout import Layout, Segment
from tlstap.sinks.words import grpc
from tlstap.sinks.words.brief import pad, shorten

MAX_PROCESS, SHORT_PROCESS = 22, 15
"""Columns of a process's name and number."""
MIN_URL = 12
SMALL_URL = 20
"""To fewer columns a URL is not shortened for the sake of what stands behind the last column."""
NARROW, WIDE = 100, 140
"""Columns of terminals: below the one, times are cut to seconds; from the other on, types are in full."""
_SCHEME = "https://"
_TAG = 5
_METHOD = 4
_STATUS = 3
_TYPE, _SHORT_TYPE, _LONG_TYPE = 12, 8, 24
_SIZE = 7
_SPAN = 7


@dataclass(frozen=True, slots=True)
class Subject:
    """What a row is about. `way` is that of the arrow: for an exchange, that in which its request goes."""

    connection: Connection
    process: Process
    stream_id: int | None
    way: Direction | None


@dataclass(slots=True)
class Pair:
    """A request and its response as the cells of a row, escaped. `sent` is the size of the request's body."""

    method: str
    url: str
    sent: str
    status: Segment
    content_type: str
    received: str
    span: str
    notes: list[list[Segment]] = field(default_factory=list)
    grpc_status: str | None = None


class Rows:
    """Makes rows. Columns grow with what was seen, so that later rows stand below earlier ones."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        self._layout = Layout(options.color, options.width)
        self._width = options.width
        self._arrows = arrows_for(stream)
        self._ellipsis = "…" if not self._arrows["write"].isascii() else "..."
        self._tag = _TAG
        self._process = 0

    def line(self, time_ns: int, words: list[list[Segment]]) -> str:
        """A row of no connection."""
        return self._layout.words([[self._clock(time_ns)], *words])

    def text(self, time_ns: int, subject: Subject, words: list[list[Segment]]) -> str:
        """A row that is no exchange's."""
        return self._layout.words([_joined(self._start(time_ns, subject)), *words])

    def pair(self, time_ns: int, subject: Subject, pair: Pair) -> str:
        """The row of an exchange; what does not fit behind its last column stands below."""
        start = _joined([*self._start(time_ns, subject), ("method", pad(pair.method, _METHOD))])
        content_type, notes = self._content_type(pair)
        end = _joined(
            [
                (pair.status[0], pad(pair.status[1], _STATUS)),
                content_type,
                ("", f"{pair.received:>{_SIZE}}"),
                ("note", f"{pair.span:>{_SPAN}}"),
            ]
        )
        notes = [*notes, *pair.notes]
        url = self._url(pair, _columns(start) + _columns(end) + 2, sum(1 + _columns(note) for note in notes))
        return self._layout.words([[*start, ("", " "), *url, ("", " "), *end], *notes])

    def _start(self, time_ns: int, subject: Subject) -> list[Segment]:
        mark, name = tag(subject.connection, subject.stream_id), process_words(subject.process)[0][0]
        most = SHORT_PROCESS if self._is_narrow else MAX_PROCESS
        who = shorten(name[1], most, self._ellipsis)
        self._tag = max(self._tag, len(mark[1]))
        self._process = max(self._process, cell_len(who))
        way = subject.way
        return [
            self._clock(time_ns),
            (mark[0], pad(mark[1], self._tag)),
            (name[0], pad(who, self._process)),
            ("", " " * len(self._arrows["write"])) if way is None else (way, self._arrows[way]),
        ]

    def _clock(self, time_ns: int) -> Segment:
        style, text = clock(time_ns)
        return (style, text.partition(".")[0] if self._is_narrow else text)

    def _url(self, pair: Pair, taken: int, notes: int) -> list[Segment]:
        """The URL and the size of what was sent, in the columns that the others leave: all but `taken`.

        :param notes: columns of what comes behind the last one, if there is room.
        """
        url, sent = pair.url, f" ({pair.sent})" if pair.sent else ""
        if self._width is None:
            return [("request", url), ("note", sent)]
        room = self._width - taken
        if room - notes >= SMALL_URL:
            room -= notes
        if room - len(sent) < MIN_URL:
            sent, room = "", max(room, MIN_URL)
        if cell_len(url) + len(sent) > room:
            url = shorten(url.removeprefix(_SCHEME), room - len(sent), self._ellipsis)
        return [("request", url), ("note", pad(sent, room - cell_len(url)))]

    def _content_type(self, pair: Pair) -> tuple[Segment, list[list[Segment]]]:
        """The type, and notes about it: the status of gRPC, of which the code fits into a short cell."""
        content_type, code = pair.content_type, pair.grpc_status
        style = "" if code is None else grpc.status_style(code)
        if self._width is None or self._width >= WIDE:
            notes = [] if code is None else [[(style, f"grpc {grpc.status(code)[1]}")]]
            columns = 0 if self._width is None else _LONG_TYPE
            return ("", pad(self._shorten(content_type, columns), columns)), notes
        columns = _SHORT_TYPE if self._is_narrow else _TYPE
        if code is not None:
            name = grpc.status_name(code) if code != "0" else ""
            cell = shorten(f"grpc {escape(code)}", columns, self._ellipsis)
            return (style, pad(cell, columns)), [[(style, name)]] if name else []
        return ("", pad(self._shorten(content_type, columns), columns)), []

    def _shorten(self, content_type: str, columns: int) -> str:
        if not columns or len(content_type) <= columns:
            return content_type
        return shorten(content_type.rpartition("/")[2], columns, self._ellipsis)

    @property
    def _is_narrow(self) -> bool:
        return self._width is not None and self._width < NARROW


def _joined(cells: list[Segment]) -> list[Segment]:
    """Cells with a space between them."""
    return [segment for cell in cells for segment in (("", " "), cell)][1:]


def _columns(segments: list[Segment]) -> int:
    return sum(cell_len(text) for _, text in segments)
