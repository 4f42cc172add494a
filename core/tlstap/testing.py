"""For tests of decoders and body formats: a traced connection, written down, and what tlstap makes of it.

talk = Conversation().write(b"*1\\r\\n$4\\r\\nPING\\r\\n").read(b"+PONG\\r\\n").close()
[ping, pong] = messages(talk.decode([Redis()]))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from tlstap import schema
from tlstap.pipeline import Limits, Pipeline
from tlstap.protocols.base import Protocol
from tlstap.protocols.body_formats import BodyFormat
from tlstap.protocols.builtin import tlstap_protocols
from tlstap.records import (
    Closed,
    Connection,
    Data,
    Direction,
    Opened,
    ProtocolMessage,
    Record,
    Role,
    TraceRecord,
    Undecoded,
)

__all__ = ["LIBRARY", "PROCESS", "Conversation", "Limits", "decode", "messages", "undecoded"]

PROCESS = schema.Process(pid=1, tid=1, uid=0, comm="client", exe=None, container=None)
LIBRARY = schema.LibraryInfo(name="openssl", version=None, path=None, build_id=None)
_END_NS = 10**6


class Conversation:
    """The records of one connection, with offsets and times (1, 2, ... ns) counted on.

    :param number: the connection's id.
    :param from_start: False for a connection that is older than the trace.
    :param opened: whether tlstap was told of it at all before its first bytes.
    :param role: which end is traced, if that is known.
    """

    def __init__(
        self, *, number: int = 1, from_start: bool = True, opened: bool = True, role: Role | None = None
    ) -> None:
        self.connection = Connection(number, PROCESS, LIBRARY, role=role)
        self.records: list[TraceRecord] = []
        self.offsets: dict[Direction, int] = {"read": 0, "write": 0}
        self._lost: dict[Direction, int] = {"read": 0, "write": 0}
        if opened:
            self.records.append(Opened(self.connection, PROCESS, 0, from_start))

    @property
    def now(self) -> int:
        """The time of the next record."""
        return len(self.records)

    def write(self, payload: bytes) -> Self:
        """One call that wrote `payload`."""
        return self.move("write", payload)

    def read(self, payload: bytes) -> Self:
        """One call that read `payload`."""
        return self.move("read", payload)

    def move(self, direction: Direction, payload: bytes, *, cut: int = 0) -> Self:
        """One call that moved `payload` and `cut` bytes more, which were not captured."""
        length = len(payload) + cut
        offset = self.offsets[direction]
        self.records.append(
            Data(self.connection, PROCESS, self.now, direction, offset, length, payload, "f", 1)
        )
        self.offsets[direction] += length
        self._lost[direction] += cut
        return self

    def in_pieces(self, direction: Direction, payload: bytes, size: int) -> Self:
        """Calls that moved `payload`, `size` bytes each."""
        for at in range(0, len(payload), size):
            self.move(direction, payload[at : at + size])
        return self

    def lose(self, direction: Direction, size: int) -> Self:
        """A call of which nothing was captured, not even that it was made."""
        self.offsets[direction] += size
        self._lost[direction] += size
        return self

    def close(self) -> Self:
        """The connection ended."""
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

    def decode(
        self,
        protocols: Sequence[Protocol] = (),
        formats: Sequence[BodyFormat] = (),
        *,
        limits: Limits = Limits(),  # noqa: B008 - immutable
    ) -> list[Record]:
        """See `decode`."""
        return decode(self.records, protocols, formats, limits=limits)


def decode(
    records: Iterable[TraceRecord],
    protocols: Sequence[Protocol] = (),
    formats: Sequence[BodyFormat] = (),
    *,
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> list[Record]:
    """All records that come out with tlstap's own protocols and, asked after them, these.

    :param limits: how much decoders may hold.
    :raises AssertionError: a decoder raised.
    """
    problems: list[str] = []
    pipeline = Pipeline([*tlstap_protocols(), *protocols], formats, limits=limits, on_problem=problems.append)
    out: list[Record] = []
    for record in records:
        out.extend(pipeline.feed(record))
    out.extend(pipeline.finish(_END_NS))
    assert not problems, problems
    return out


def messages(records: Iterable[Record]) -> list[ProtocolMessage]:
    """The messages among records."""
    return [record for record in records if isinstance(record, ProtocolMessage)]


def undecoded(records: Iterable[Record], direction: Direction) -> bytes:
    """The bytes of a direction that no decoder understood."""
    return b"".join(r.payload for r in records if isinstance(r, Undecoded) and r.direction == direction)
