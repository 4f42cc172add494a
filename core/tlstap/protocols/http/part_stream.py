"""The messages that an HTTP body consists of, given out as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tlstap.protocols.body_formats import BodyFormat, BodyReader, Part
from tlstap.protocols.http.context import Context
from tlstap.records import Direction, Exchange, Message, ProtocolMessage


class PartStream:
    """Feeds one body to a reader and gives out what that finds. A reader that raises is left out."""

    __slots__ = ("_context", "_direction", "_exchange", "_format", "_reader")

    def __init__(self, context: Context, exchange: Exchange, message: Message, direction: Direction) -> None:
        self._context = context
        self._exchange = exchange
        self._direction: Direction = direction
        self._format: BodyFormat | None = None
        self._reader: BodyReader | None = None
        found = context.channel.toolbox.body_reader(exchange, message, context.memory)
        if found is not None:
            self._format, self._reader = found
            exchange.body_format = self._format.name

    def feed(self, piece: bytes) -> None:
        """Bytes of the decoded body."""
        if self._reader is not None:
            self._run(self._reader, lambda reader: reader.feed(piece))

    def gap(self, size: int | None) -> None:
        """Bytes of the body are missing here; None if nobody knows how many."""
        if self._reader is not None:
            self._run(self._reader, lambda reader: reader.gap(size))

    def finish(self, *, unfinished: bool) -> None:
        """The body is over."""
        if self._reader is not None:
            self._run(self._reader, lambda reader: reader.finish(unfinished=unfinished))
            self._reader = None

    def _run(self, reader: BodyReader, step: Callable[[BodyReader], Iterable[Part]]) -> None:
        context, exchange = self._context, self._exchange
        assert self._format is not None
        try:
            for part in step(reader):
                context.out.append(
                    ProtocolMessage(
                        exchange.connection,
                        context.process,
                        context.now,
                        self._direction,
                        self._format.name,
                        part.type,
                        part.payload,
                        part.size,
                        part.details,
                        part.missing,
                        exchange.stream_id,
                        exchange,
                    )
                )
        except Exception as error:
            self._reader = None
            context.channel.toolbox.failed(self._format, error)
