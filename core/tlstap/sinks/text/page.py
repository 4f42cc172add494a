"""The page that the text format writes: blocks, each with a time and a tag, and what belongs below them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TextIO

from tlstap.records import Connection, Direction, Exchange, Message
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.heading import arrows_for, clock, tag
from tlstap.sinks.layout import Layout, Segment

_Shape = Literal["line", "block", "connection"]


class Page:
    """Writes blocks to a stream, with an empty line between them where it helps the eye.

    `exchange` and `message` are what the block at the end of the page is about, as its writer said.
    """

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        self._stream = stream
        self._layout = Layout(options.color, options.width)
        self._shape: _Shape | None = None
        self.arrows = arrows_for(stream)
        self.exchange: Exchange | None = None
        self.message: Message | None = None

    def mark(self, direction: Direction) -> Segment:
        """The arrow before what was sent or received."""
        return (direction, f"{self.arrows[direction]} ")

    def connection(self, words: list[list[Segment]]) -> None:
        """Write the line that tells of a connection."""
        self._put(self._layout.words(words), "connection")

    def line(self, time_ns: int, what: list[Segment]) -> None:
        """Write a line that belongs to no connection."""
        self._put(self._layout.line([clock(time_ns), ("", " "), *what], 0), "line")

    def block(
        self,
        time_ns: int,
        connection: Connection,
        what: list[Segment],
        lines: Iterable[list[Segment]] | None = None,
        stream_id: int | None = None,
    ) -> None:
        """Write a line with the connection's tag, and what belongs below it: None for nothing."""
        head = [clock(time_ns), ("", " "), tag(connection, stream_id), ("", " "), *what]
        self._put(self._layout.line(head, 0), "line" if lines is None else "block")
        if lines is not None:
            self._put_lines(lines)

    def about(self, exchange: Exchange | None, message: Message | None = None) -> None:
        """Say what the block is about that was written last."""
        self.exchange, self.message = exchange, message

    def below(self, lines: Iterable[list[Segment]]) -> None:
        """Write more lines of the last block, behind an empty one."""
        self._stream.write("\n")
        self._put_lines(lines)

    def _put(self, line: str, shape: _Shape) -> None:
        previous = self._shape
        apart = previous == "block" or (previous == "line" and shape != "line")
        self._stream.write("\n" + line if apart or (previous and shape == "connection") else line)
        self._shape = shape
        self.about(None)

    def _put_lines(self, lines: Iterable[list[Segment]]) -> None:
        # One by one: with no limit a body may have millions.
        for line in lines:
            self._stream.write(self._layout.line(line))
        self._shape = "block"
