"""The decoding of one channel: recognition, then the protocol's decoder, then whatever that hands over to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from tlstap.protocols.base import Channel, Decoder, Protocol, StreamBytes, Switch
from tlstap.protocols.body_formats import BodyFormat, BodyReader
from tlstap.protocols.checking import check_record
from tlstap.protocols.memory import Allowance, Pool
from tlstap.protocols.recognition import RAISED, Recognition
from tlstap.records import DecodedRecord, Exchange, Message, Undecoded

MAX_HANDOVERS = 8
"""How often the bytes of one record may be handed from one protocol to the next."""
MAX_DEPTH = 4
"""Channels inside channels."""
MAX_REASON = 300
"""Characters of an exception that are passed on."""


class Toolbox:
    """What all decoders of a pipeline share.

    :param protocols: asked in this order whether a channel speaks them.
    :param formats: asked in this order whether they can read a body.
    :param on_problem: told, once for each protocol or format, that its decoder failed.
    :param third_party: whose a protocol or format is, in words; None for those whose records need no check.
    """

    def __init__(
        self,
        protocols: Sequence[Protocol],
        formats: Sequence[BodyFormat] = (),
        pool: Pool | None = None,
        on_problem: Callable[[str], None] = lambda problem: None,
        third_party: Callable[[object], str | None] = lambda thing: None,
    ) -> None:
        self.protocols = tuple(protocols)
        self.pool = pool or Pool()
        self._formats = tuple(formats)
        self._on_problem = on_problem
        self._third_party = third_party
        self._reported: set[str] = set()

    def body_reader(
        self, exchange: Exchange, message: Message, memory: Allowance
    ) -> tuple[BodyFormat, BodyReader] | None:
        """The format of a message's body, and a reader for it; None if no format knows it."""
        for body_format in self._formats:
            try:
                reader = body_format.reader(exchange, message, memory)
                if reader is not None and not isinstance(reader, BodyReader):
                    raise TypeError(f"reader() returned {reader!r:.60}, which is no BodyReader")
            except RAISED as error:
                self.failed(body_format, error)
                continue
            if reader is not None:
                return body_format, reader
        return None

    def is_third_party(self, thing: Protocol | BodyFormat) -> bool:
        """Whether what it gives out has to be checked."""
        return self._third_party(thing) is not None

    def failed(self, culprit: Protocol | BodyFormat | None, error: BaseException) -> None:
        """Report that a decoder raised."""
        name = getattr(culprit, "name", repr(culprit))
        if name not in self._reported:
            self._reported.add(name)
            owner = self._third_party(culprit)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
            self._on_problem(
                f"{f'{owner}: ' if owner else ''}the decoder for {name!r} failed ({reason}); connections "
                "on which it does are shown undecoded; leave its plugin out with --no-plugin, or tell its "
                "authors"
            )


class Decoding:
    """Decodes a channel. `feed` and `finish` are generators: what they don't yield is not done."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._toolbox = channel.toolbox
        self._allowance = Allowance(self._toolbox.pool)
        self._protocol: Protocol | None = None
        self._decoder: Decoder | None = None
        self._check = False
        self._recognition = self._recognise(self._toolbox.protocols if channel.depth < MAX_DEPTH else ())

    def _recognise(self, protocols: Sequence[Protocol]) -> Recognition:
        return Recognition(self._channel, protocols, self._toolbox.failed)

    def feed(self, data: StreamBytes) -> Iterator[DecodedRecord]:
        """Give bytes to the channel's decoder, or look for one; follow where one hands over."""
        waiting, handovers = deque((data,)), 0
        while waiting:
            data = waiting.popleft()
            if self._decoder is None:
                protocol, pieces = self._recognition.feed(data)
                if protocol is None:
                    yield from self._undecoded(pieces)
                elif self._start_decoder(protocol):
                    waiting.extendleft(reversed(pieces))
                else:
                    yield from self._undecoded(pieces)
                continue
            decoder, rest = self._decoder, list[StreamBytes]()
            yield from self._run(decoder, partial(decoder.feed, data), rest)
            if self._decoder is not decoder:
                yield from self._undecoded([data])
            elif decoder.handed_over:
                finish = partial(decoder.finish, data.time_ns, closed=False)
                yield from self._run(decoder, finish, rest)
                handovers += 1
                self._hand_over(decoder.switch)
                self._drop_decoder(self._toolbox.protocols if handovers < MAX_HANDOVERS else ())
                waiting.extendleft(reversed(rest))

    def finish(self, time_ns: int, *, closed: bool) -> Iterator[DecodedRecord]:
        """The channel is over, or no longer followed."""
        if self._decoder is not None:
            decoder, rest = self._decoder, list[StreamBytes]()
            yield from self._run(decoder, partial(decoder.finish, time_ns, closed=closed), rest)
            yield from self._undecoded(rest)
        else:
            yield from self._undecoded(self._recognition.finish())
        self._allowance.release()

    def _start_decoder(self, protocol: Protocol) -> bool:
        try:
            decoder = protocol.decoder(self._channel, self._allowance)
            if not isinstance(decoder, Decoder):
                raise TypeError(f"decoder() returned {decoder!r:.60}, which is no Decoder")
        except RAISED as error:
            self._toolbox.failed(protocol, error)
            self._drop_decoder(())
            return False
        self._decoder, self._protocol = decoder, protocol
        self._check = self._toolbox.is_third_party(protocol)
        return True

    def _hand_over(self, switch: Switch | None) -> None:
        """Another protocol begins here; without a switch this one only turned out to be another."""
        if switch is not None:
            self._channel = replace(self._channel, from_start=True, switch=switch)
        else:
            self._channel = replace(self._channel, from_start=False)

    def _drop_decoder(self, protocols: Sequence[Protocol]) -> None:
        """Go on without the decoder; `protocols` are those that may take over."""
        self._decoder = None
        self._allowance.release()
        self._recognition = self._recognise(protocols)

    def _run(
        self, decoder: Decoder, step: Callable[[], Iterable[DecodedRecord]], rest: list[StreamBytes]
    ) -> Iterator[DecodedRecord]:
        """What a decoder's step yields; what it hands over goes into `rest`. If it raises, it is dropped."""
        try:
            for record in step():
                if self._check:
                    check_record(record)
                if decoder.handed_over and isinstance(record, Undecoded):
                    rest.append(
                        StreamBytes(
                            record.direction,
                            record.offset,
                            record.payload,
                            record.lost_before,
                            record.time_ns,
                            record.process,
                        )
                    )
                else:
                    yield record
        except RAISED as error:
            self._toolbox.failed(self._protocol, error)
            self._drop_decoder(())

    def _undecoded(self, pieces: Iterable[StreamBytes]) -> Iterator[DecodedRecord]:
        for data in pieces:
            yield Undecoded(
                self._channel.connection,
                data.process,
                data.time_ns,
                data.direction,
                data.offset,
                data.payload,
                data.lost_before,
                self._channel.stream_id,
            )
