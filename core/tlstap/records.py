"""What flows between the steps inside tlstap: slotted records, cheap to make.

Events of the schema (pydantic) are made from these at the edge, for those who asked for them: see
`convert.py`. Times are wall clock, in nanoseconds since the epoch. Offsets and lengths are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tlstap import schema

Direction = Literal["read", "write"]
Role = Literal["client", "server"]


@dataclass(slots=True, eq=False)
class Connection:
    """One TLS connection as one process sees it; shared by its records and filled in as more becomes known.

    `id` is unique in a run. `local` and `remote` are None until a socket was seen; `inferred` says that
    they were concluded from the thread's last socket, not seen during a TLS call.
    """

    id: int
    process: schema.Process
    library: schema.LibraryInfo
    local: schema.Endpoint | None = None
    remote: schema.Endpoint | None = None
    inferred: bool = False
    role: Role | None = None
    sni: str | None = None
    alpn: str | None = None
    tls_version: str | None = None
    cipher: str | None = None


@dataclass(slots=True)
class Opened:
    """A connection is first seen; `from_start` is False if it was found in the middle."""

    connection: Connection
    process: schema.Process
    time_ns: int
    from_start: bool


@dataclass(slots=True)
class Handshake:
    """A handshake ended."""

    connection: Connection
    process: schema.Process
    time_ns: int
    duration_ns: int
    ok: bool


@dataclass(slots=True)
class Data:
    """Bytes that a TLS call read or wrote.

    `offset` is that of the first byte in its direction's stream; `length` is how many bytes of the stream
    this record stands for, `payload` the captured ones, the first `len(payload)` of them.
    """

    connection: Connection
    process: schema.Process
    time_ns: int
    direction: Direction
    offset: int
    length: int
    payload: bytes
    function: str
    duration_ns: int


@dataclass(slots=True)
class Closed:
    """A connection ended. The byte counts are what the application moved, whether captured or not."""

    connection: Connection
    process: schema.Process
    time_ns: int
    read_bytes: int
    written_bytes: int
    read_lost: int
    written_lost: int


@dataclass(slots=True)
class Lost:
    """Records that never arrived. `connection` is None where the loss belongs to no known one."""

    connection: Connection | None
    process: schema.Process | None
    time_ns: int
    count: int
    bytes: int
    why: str


TraceRecord = Opened | Handshake | Data | Closed | Lost
"""What the read step yields, and what a saved capture yields again."""


@dataclass(slots=True)
class Message:
    """One half of an exchange, filled in while it is decoded.

    A request has `method`, `scheme`, `authority` and `target`, a response `status` and `reason`.
    Headers are (name, value) in the order and case in which they were sent. `body` has transfer and
    content encodings removed; `body_bytes` is its size before any bound cut it; `body_wire_bytes` its
    size as transferred.
    """

    is_request: bool
    method: str = ""
    scheme: str = ""
    authority: str = ""
    target: str = ""
    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    body_bytes: int = 0
    body_wire_bytes: int = 0
    trailers: list[tuple[str, str]] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int | None = None


@dataclass(slots=True)
class Missing:
    """What an exchange lacks: which part, why, and how many bytes where that is known."""

    part: Literal["request", "request body", "response", "response body"]
    reason: Literal["lost", "not seen", "unfinished", "over the limit", "not decodable"]
    bytes: int | None = None


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and its response. `informational` are 1xx responses that came before the final one."""

    connection: Connection
    process: schema.Process
    protocol: str
    stream_id: int | None = None
    request: Message | None = None
    response: Message | None = None
    informational: list[Message] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


@dataclass(slots=True)
class HeadSeen:
    """Progress, for those who show traffic as it happens: the head of a message is complete."""

    exchange: Exchange
    message: Message
    direction: Direction
    time_ns: int


@dataclass(slots=True)
class MessageEnded:
    """Progress: a message is as complete as it will get (what lacks is in `exchange.missing`)."""

    exchange: Exchange
    message: Message
    direction: Direction
    time_ns: int


@dataclass(slots=True)
class ExchangeEnded:
    """An exchange is over: both halves ended, or the connection or the trace did. Becomes the http event."""

    exchange: Exchange
    time_ns: int
    complete: bool


@dataclass(slots=True)
class Undecoded:
    """Progress: bytes of a stream that no protocol decoder understands, in order.

    `lost_before` is the size of the gap (bytes that were not captured) right before `offset`.
    """

    connection: Connection
    process: schema.Process
    time_ns: int
    direction: Direction
    offset: int
    payload: bytes
    lost_before: int = 0


DecodedRecord = HeadSeen | MessageEnded | ExchangeEnded | Undecoded
Record = TraceRecord | DecodedRecord
