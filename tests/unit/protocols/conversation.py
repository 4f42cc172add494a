"""A traced connection, written down as what its client wrote and read, and what the pipeline makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tlstap import testing
from tlstap.pipeline import Limits, Pipeline
from tlstap.protocols.base import Channel, Protocol
from tlstap.protocols.body_formats import BodyFormat
from tlstap.protocols.decoding import Toolbox
from tlstap.protocols.http1.decoder import Http1
from tlstap.records import Connection, Exchange, ExchangeEnded, Record, TraceRecord
from tlstap.testing import LIBRARY, PROCESS, undecoded

__all__ = [
    "LIBRARY",
    "PROCESS",
    "Conversation",
    "channel",
    "connection",
    "ended",
    "exchanges",
    "run",
    "summaries",
    "summary",
    "undecoded",
]


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


class Conversation(testing.Conversation):
    """Records of one connection; by default decoded as HTTP/1 alone."""

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
