"""A traced connection, written down as what its client wrote and read, and what the pipeline makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tlstap import schema
from tlstap.pipeline import Limits, Pipeline
from tlstap.protocols.base import Channel, Protocol
from tlstap.protocols.body_formats import BodyFormat
from tlstap.protocols.decoding import Toolbox
from tlstap.protocols.http1.decoder import Http1
from tlstap.records import (
    Closed,
    Connection,
    Data,
    Direction,
    Exchange,
    ExchangeEnded,
    Opened,
    Record,
    TraceRecord,
    Undecoded,
)

PROCESS = schema.Process(pid=1, tid=1, uid=0, comm="client", exe=None, container=None)
LIBRARY = schema.LibraryInfo(name="openssl", version=None, path=None, build_id=None)


def connection(number: int = 1) -> Connection:
    """A connection of which nothing else is known."""
    return Connection(number, PROCESS, LIBRARY)


def channel(
    *,
    protocols: Sequence[Protocol] = (),
    formats: Sequence[BodyFormat] = (),
    from_start: bool = True,
) -> Channel:
    """A connection's channel, as a decoder gets it."""
    return Channel(connection(), Toolbox(protocols, formats), from_start)


class Conversation:
    """Records of one connection, with offsets and times (1, 2, ... ns) counted on."""

    def __init__(self, *, number: int = 1, from_start: bool = True, opened: bool = True) -> None:
        self.connection = connection(number)
        self.records: list[TraceRecord] = []
        self.offsets: dict[Direction, int] = {"read": 0, "write": 0}
        self._lost: dict[Direction, int] = {"read": 0, "write": 0}
        if opened:
            self.records.append(Opened(self.connection, PROCESS, 0, from_start))

    @property
    def now(self) -> int:
        return len(self.records)

    def write(self, payload: bytes) -> Conversation:
        return self.move("write", payload)

    def read(self, payload: bytes) -> Conversation:
        return self.move("read", payload)

    def move(self, direction: Direction, payload: bytes, *, cut: int = 0) -> Conversation:
        """One call that moved `payload` and `cut` bytes more, which were not captured."""
        length = len(payload) + cut
        offset = self.offsets[direction]
        self.records.append(
            Data(self.connection, PROCESS, self.now, direction, offset, length, payload, "f", 1)
        )
        self.offsets[direction] += length
        self._lost[direction] += cut
        return self

    def lose(self, direction: Direction, size: int) -> Conversation:
        """A call of which nothing was captured, not even that it was made."""
        self.offsets[direction] += size
        self._lost[direction] += size
        return self

    def close(self) -> Conversation:
        self.records.append(
            Closed(
                self.connection,
                PROCESS,
                self.now,
                self.offsets["read"],
                self.offsets["write"],
                self._lost["read"],
                self._lost["write"],
            )
        )
        return self

    def run(self, pipeline: Pipeline | None = None) -> list[Record]:
        """All records that come out, to the end of the trace."""
        return run(self.records, pipeline)


def run(
    records: Iterable[TraceRecord],
    pipeline: Pipeline | None = None,
    *,
    protocols: Sequence[Protocol] = (),
    formats: Sequence[BodyFormat] = (),
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> list[Record]:
    """Feed records to a pipeline and finish it."""
    pipeline = pipeline or Pipeline(protocols or [Http1()], formats, limits=limits)
    out: list[Record] = []
    for record in records:
        out.extend(pipeline.feed(record))
    out.extend(pipeline.finish(10**6))
    return out


def ended(records: Iterable[Record]) -> list[ExchangeEnded]:
    """The ends of exchanges among records."""
    return [record for record in records if isinstance(record, ExchangeEnded)]


def exchanges(records: Iterable[Record]) -> list[Exchange]:
    """The exchanges that ended."""
    return [record.exchange for record in ended(records)]


def undecoded(records: Iterable[Record], direction: Direction) -> bytes:
    """What was not understood of a direction."""
    return b"".join(r.payload for r in records if isinstance(r, Undecoded) and r.direction == direction)


def summary(exchange: Exchange) -> str:
    """Who answered whom, with what, in one line."""
    request, response = exchange.request, exchange.response
    left = f"{request.method} {request.target} {bytes(request.body)!r}" if request else "-"
    right = f"{response.status} {bytes(response.body)!r}" if response else "-"
    missing = "; ".join(
        f"{gap.part} {gap.reason}{'' if gap.bytes is None else f' {gap.bytes}'}" for gap in exchange.missing
    )
    return f"{left} -> {right}" + (f" [{missing}]" if missing else "")


def summaries(records: Iterable[Record]) -> list[str]:
    """`summary` of every exchange that ended, in order."""
    return [summary(exchange) for exchange in exchanges(records)]
