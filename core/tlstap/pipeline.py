"""The steps "reassemble" and "decode" for all connections: trace records in, the same and messages out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tlstap.protocols.base import Channel, Protocol
from tlstap.protocols.body_formats import BodyFormat
from tlstap.protocols.decoding import Decoding, Toolbox
from tlstap.protocols.memory import Pool
from tlstap.records import Closed, Connection, Data, Opened, Record, TraceRecord
from tlstap.streams.reassembly import Reassembly


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
    """What the pipeline knows of one connection."""

    __slots__ = ("decoding", "reassembly")

    def __init__(self, reassembly: Reassembly, decoding: Decoding) -> None:
        self.reassembly = reassembly
        self.decoding = decoding


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
    :param formats: asked in this order whether they can read a body.
    :param on_problem: told, once for each protocol or format, that its decoder failed.
    :param third_party: see Registry.third_party.
    """

    def __init__(
        self,
        protocols: Sequence[Protocol],
        formats: Sequence[BodyFormat] = (),
        *,
        limits: Limits = Limits(),
        on_problem: Callable[[str], None] = lambda problem: None,
        third_party: Callable[[object], str | None] = lambda thing: None,
    ) -> None:
        self._limits = limits
        self._on_problem = on_problem
        pool = Pool(limits.memory, limits.body)
        self._toolbox = Toolbox(protocols, formats, pool, on_problem, third_party)
        self._states: OrderedDict[int, _State] = OrderedDict()
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
                    yield from state.decoding.feed(data)
            case Opened():
                yield record
                if record.connection.id not in self._states:
                    yield from self._evict(record.time_ns)
                    self._add(record.connection, record.from_start)
            case Closed():
                state = self._states.pop(record.connection.id, None)
                if state is not None:
                    for data in state.reassembly.close(record):
                        yield from state.decoding.feed(data)
                    yield from state.decoding.finish(record.time_ns, closed=True)
                yield record
            case _:
                yield record

    def finish(self, time_ns: int) -> Iterator[Record]:
        """The trace ended: what is unfinished on all connections."""
        while self._states:
            _, state = self._states.popitem(last=False)
            yield from state.decoding.finish(time_ns, closed=False)

    def _add(self, connection: Connection, from_start: bool) -> _State:
        channel = Channel(connection, self._toolbox, from_start)
        state = self._states[connection.id] = _State(Reassembly(from_start), Decoding(channel))
        return state

    def _evict(self, time_ns: int) -> Iterator[Record]:
        """Make room for a connection: the one that was silent for longest goes."""
        most = self._limits.connections
        while len(self._states) >= most:
            _, state = self._states.popitem(last=False)
            yield from state.decoding.finish(time_ns, closed=False)
            # Nothing of the traffic is lost by it, so it is no Lost: a replay would tell of it twice.
            self._evicted += 1
            if self._evicted == 1:
                self._on_problem(
                    f"more than {most} connections at a time: those silent for longest are not decoded on"
                )
