"""The steps "reassemble" and "decode" for all connections: trace records in, the same and messages out."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from tlstap.protocols.base import Decoder, Protocol, StreamBytes
from tlstap.protocols.memory import Allowance, Pool
from tlstap.protocols.recognition import Recognition
from tlstap.records import (
    Closed,
    Connection,
    Data,
    DecodedRecord,
    Opened,
    Record,
    TraceRecord,
    Undecoded,
)
from tlstap.streams.reassembly import Reassembly

MAX_HANDOVERS = 8
"""How often the bytes of one record may be handed from one protocol to the next."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a pipeline holds.

    `connections`: at a time; `body`: bytes kept of one decoded body; `memory`: bytes kept of heads and
    bodies of all connections together.
    """

    connections: int = 4096
    body: int = 64 << 20
    memory: int = 256 << 20


class _State:
    """What the pipeline knows of one connection. While there is no decoder, recognition goes on."""

    __slots__ = ("allowance", "connection", "decoder", "protocol", "reassembly", "recognition")

    def __init__(
        self, connection: Connection, reassembly: Reassembly, recognition: Recognition, allowance: Allowance
    ) -> None:
        self.connection = connection
        self.reassembly = reassembly
        self.recognition = recognition
        self.allowance = allowance
        self.decoder: Decoder | None = None
        self.protocol: Protocol | None = None


class Passthrough:
    """In place of a pipeline where nobody asked for messages: decoding costs far more than the rest."""

    def feed(self, record: TraceRecord) -> Iterable[Record]:
        """The record."""
        return (record,)

    def finish(self, time_ns: int) -> Iterable[Record]:
        """Nothing."""
        return ()


class Pipeline:
    """Decodes a trace. `feed` and `finish` are generators: what they don't yield is not done.

    :param protocols: asked in this order whether a connection speaks them.
    :param on_problem: told, once for each protocol, that its decoder failed.
    """

    def __init__(
        self,
        protocols: Sequence[Protocol],
        *,
        limits: Limits = Limits(),
        on_problem: Callable[[str], None] = lambda problem: None,
    ) -> None:
        self._protocols = tuple(protocols)
        self._limits = limits
        self._on_problem = on_problem
        self._pool = Pool(limits.memory, limits.body)
        self._states: OrderedDict[int, _State] = OrderedDict()
        self._reported: set[str] = set()
        self._evicted = 0

    def feed(self, record: TraceRecord) -> Iterator[Record]:
        """The record and what it led to. What a Closed leads to comes before it."""
        match record:
            case Data():
                yield record
                state = self._states.get(record.connection.id)
                if state is None:
                    yield from self._evict(record.time_ns)
                    state = self._add(record.connection, from_start=False)
                else:
                    self._states.move_to_end(record.connection.id)
                for data in state.reassembly.feed(record):
                    yield from self._decode(state, data)
            case Opened():
                yield record
                if record.connection.id not in self._states:
                    yield from self._evict(record.time_ns)
                    self._add(record.connection, record.from_start)
            case Closed():
                state = self._states.pop(record.connection.id, None)
                if state is not None:
                    for data in state.reassembly.close(record):
                        yield from self._decode(state, data)
                    yield from self._finish(state, record.time_ns, closed=True)
                yield record
            case _:
                yield record

    def finish(self, time_ns: int) -> Iterator[Record]:
        """The trace ended: what is unfinished on all connections."""
        while self._states:
            _, state = self._states.popitem(last=False)
            yield from self._finish(state, time_ns, closed=False)

    def _add(self, connection: Connection, from_start: bool) -> _State:
        recognition = Recognition(connection, self._protocols, self._failed)
        state = _State(connection, Reassembly(from_start), recognition, Allowance(self._pool))
        self._states[connection.id] = state
        return state

    def _evict(self, time_ns: int) -> Iterator[Record]:
        """Make room for a connection: the one that was silent for longest goes."""
        most = self._limits.connections
        while len(self._states) >= most:
            _, state = self._states.popitem(last=False)
            yield from self._finish(state, time_ns, closed=False)
            # Nothing of the traffic is lost by it, so it is no Lost: a replay would tell of it twice.
            self._evicted += 1
            if self._evicted == 1:
                self._on_problem(
                    f"more than {most} connections at a time: those silent for longest are not decoded on"
                )

    def _decode(self, state: _State, data: StreamBytes) -> Iterator[Record]:
        """Give bytes to the connection's decoder, or look for one; follow where one hands over."""
        waiting, handovers = deque((data,)), 0
        while waiting:
            data = waiting.popleft()
            if state.decoder is None:
                protocol, pieces = state.recognition.feed(data)
                if protocol is None:
                    yield from self._undecoded(state, pieces)
                elif self._start_decoder(state, protocol):
                    waiting.extendleft(reversed(pieces))
                else:
                    yield from self._undecoded(state, pieces)
                continue
            decoder, rest = state.decoder, list[StreamBytes]()
            yield from self._run(state, decoder, partial(decoder.feed, data), rest)
            if state.decoder is not decoder:
                yield from self._undecoded(state, [data])
            elif decoder.handed_over:
                finish = partial(decoder.finish, data.time_ns, closed=False)
                yield from self._run(state, decoder, finish, rest)
                handovers += 1
                self._drop_decoder(state, self._protocols if handovers < MAX_HANDOVERS else ())
                waiting.extendleft(reversed(rest))

    def _start_decoder(self, state: _State, protocol: Protocol) -> bool:
        try:
            state.decoder = protocol.decoder(state.connection, state.allowance)
        except Exception as error:
            self._failed(protocol, error)
            self._drop_decoder(state, ())
            return False
        state.protocol = protocol
        return True

    def _drop_decoder(self, state: _State, protocols: Sequence[Protocol]) -> None:
        """Go on without the decoder; `protocols` are those that may take over."""
        state.decoder = None
        state.allowance.release()
        state.recognition = Recognition(state.connection, protocols, self._failed)

    def _run(
        self,
        state: _State,
        decoder: Decoder,
        step: Callable[[], Iterable[DecodedRecord]],
        rest: list[StreamBytes],
    ) -> Iterator[Record]:
        """What a decoder's step yields; what it hands over goes into `rest`. If it raises, it is dropped."""
        try:
            for record in step():
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
        except Exception as error:
            self._failed(state.protocol, error)
            self._drop_decoder(state, ())

    def _failed(self, protocol: Protocol | None, error: Exception) -> None:
        name = getattr(protocol, "name", repr(protocol))
        if name not in self._reported:
            self._reported.add(name)
            self._on_problem(
                f"the decoder for {name!r} failed ({type(error).__name__}: {error}); connections on which it "
                "does are shown undecoded; leave its plugin out with --no-plugin, or tell its authors"
            )

    def _undecoded(self, state: _State, pieces: Iterable[StreamBytes]) -> Iterator[Record]:
        for data in pieces:
            yield Undecoded(
                state.connection,
                data.process,
                data.time_ns,
                data.direction,
                data.offset,
                data.payload,
                data.lost_before,
            )

    def _finish(self, state: _State, time_ns: int, *, closed: bool) -> Iterator[Record]:
        """The connection is over, or no longer followed."""
        if state.decoder is not None:
            decoder, rest = state.decoder, list[StreamBytes]()
            yield from self._run(state, decoder, partial(decoder.finish, time_ns, closed=closed), rest)
            yield from self._undecoded(state, rest)
        else:
            yield from self._undecoded(state, state.recognition.finish())
        state.allowance.release()
