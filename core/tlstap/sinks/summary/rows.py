"""Rows of the summary."""

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
from tlstap.sinks.summary.columns import Columns
from tlstap.sinks.words import grpc
from tlstap.sinks.words.brief import pad

_METHOD = 4
_STATUS = 3
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
    """Makes rows."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        self._layout = Layout(options.color, options.width)
        self._arrows = arrows_for(stream)
        self._columns = Columns(options.width, "..." if self._arrows["write"].isascii() else "…")

    def line(self, time_ns: int, words: list[list[Segment]]) -> str:
        """A row of no connection."""
        return self._layout.words([[self._clock(time_ns)], *words])

    def text(self, time_ns: int, subject: Subject, words: list[list[Segment]]) -> str:
        """A row that is no exchange's."""
        return self._layout.words([_joined(self._start(time_ns, subject)), *words])

    def pair(self, time_ns: int, subject: Subject, pair: Pair) -> str:
        """The row of an exchange; what does not fit behind its last column stands below."""
        content_type, notes = self._content_type(pair)
        notes += pair.notes
        start = _joined([*self._start(time_ns, subject), ("method", pad(pair.method, _METHOD))])
        end = _joined(
            [
                (pair.status[0], pad(pair.status[1], _STATUS)),
                content_type,
                ("", f"{pair.received:>{_SIZE}}"),
                ("note", f"{pair.span:>{_SPAN}}"),
            ]
        )
        behind = f" ({pair.sent})" if pair.sent else ""
        taken = _width(start) + _width(end) + 2
        below = sum(1 + _width(note) for note in notes)
        url, sent, filler = self._columns.url(pair.url, behind, taken, below)
        middle: list[Segment] = [("", " "), ("request", url), ("note", sent), ("", f"{filler} ")]
        return self._layout.words([[*start, *middle, *end], *notes])

    def _start(self, time_ns: int, subject: Subject) -> list[Segment]:
        mark, name = tag(subject.connection, subject.stream_id), process_words(subject.process)[0][0]
        way = subject.way
        return [
            self._clock(time_ns),
            (mark[0], self._columns.tag(mark[1])),
            (name[0], self._columns.process(name[1])),
            ("", " " * len(self._arrows["write"])) if way is None else (way, self._arrows[way]),
        ]

    def _clock(self, time_ns: int) -> Segment:
        style, text = clock(time_ns)
        return (style, text.partition(".")[0] if self._columns.is_narrow else text)

    def _content_type(self, pair: Pair) -> tuple[Segment, list[list[Segment]]]:
        """The type, and notes about it: the status of gRPC, of which the code fits into a short cell."""
        code = pair.grpc_status
        if code is None:
            return ("", self._columns.content_type(pair.content_type)), []
        style = grpc.status_style(code)
        if self._columns.is_wide:
            status: Segment = (style, f"grpc {grpc.status(code)[1]}")
            return ("", self._columns.content_type(pair.content_type)), [[status]]
        name = grpc.status_name(code) if code != "0" else ""
        cell = self._columns.content_type(f"grpc {escape(code)}")
        return (style, cell), [[(style, name)]] if name else []


def _joined(cells: list[Segment]) -> list[Segment]:
    """Cells with a space between them."""
    return [segment for cell in cells for segment in (("", " "), cell)][1:]


def _width(segments: list[Segment]) -> int:
    return sum(cell_len(text) for _, text in segments)
