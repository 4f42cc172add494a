"""The messages that an HTTP body consists of, given out as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tlstap.protocols.body_formats import BodyFormat, BodyReader, Part
from tlstap.protocols.checking import check_part
from tlstap.protocols.http.context import Context
from tlstap.protocols.recognition import RAISED
from tlstap.records import Direction, Exchange, Message, Missing, ProtocolMessage

MAX_GIVEN = 64 << 20
"""Bytes of memory that the messages of one call may take, all but the first: compressed bodies can swell."""
_RECORD = 1024


class PartStream:
    """Feeds one body to a reader and gives out what that finds.

    A reader that raises is left out, and so is one that finds too much at once.
    """

    __slots__ = ("_check", "_context", "_direction", "_exchange", "_format", "_reader")

    def __init__(self, context: Context, exchange: Exchange, message: Message, direction: Direction) -> None:
        self._context = context
        self._exchange = exchange
        self._direction: Direction = direction
        self._format: BodyFormat | None = None
        self._reader: BodyReader | None = None
        self._check = False
        toolbox = context.channel.toolbox
        found = toolbox.body_reader(exchange, message, context.memory)
        if found is not None:
            self._format, self._reader = found
            self._check = toolbox.is_third_party(self._format)
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
        context = self._context
        try:
            for part in step(reader):
                if self._check:
                    check_part(part)
                if context.given > MAX_GIVEN:
                    self._reader = None
                    self._give(
                        Part(part.type, b"", part.size, missing=[Missing("message", "over the limit")])
                    )
                    # It gives back what it holds.
                    list(reader.finish(unfinished=True))
                    return
                self._give(part)
        except RAISED as error:
            self._reader = None
            context.channel.toolbox.failed(self._format, error)

    def _give(self, part: Part) -> None:
        context, exchange = self._context, self._exchange
        assert self._format is not None
        # The first one of a call may have been received by many.
        cost = _RECORD + len(part.payload) + part.weight if context.given else _RECORD
        context.given += cost
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
