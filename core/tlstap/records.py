"""What flows between the steps inside tlstap: slotted records, cheap to make.

Events of the schema (pydantic) are made from these at the edge, for those who asked for them: see
`convert.py`. Times are wall clock, in nanoseconds since the epoch. Offsets and lengths are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from tlstap import schema

Direction = Literal["read", "write"]
"""As the application sees it: "read" is what it receives."""
Role = Literal["client", "server"]
"""Which end of the connection the process is."""


@dataclass(slots=True, eq=False)
class Connection:
    """One TLS connection as one process sees it; shared by its records and filled in as more becomes known.

    `process` is that which made it, `library` what carries its TLS.
    `id` is unique in a run. `local` and `remote` are None until a socket was seen; `inferred` says that
    they were concluded from the thread's last socket, not seen during a TLS call. `role` is which end the
    process is, `sni` the server's name, `alpn` the protocol agreed on; `tls_version` and `cipher` are in
    OpenSSL's words. None is unknown.
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
    """A handshake ended: `ok` says how, `duration_ns` after how many nanoseconds."""

    connection: Connection
    process: schema.Process
    time_ns: int
    duration_ns: int
    ok: bool


@dataclass(slots=True)
class Data:
    """Bytes that a TLS call read or wrote: its `direction`.

    `offset` is that of the first byte in its direction's stream; `length` is how many bytes of the stream
    this record stands for, `payload` the captured ones, the first `len(payload)` of them. `function` is the
    library's, `duration_ns` how long its call took.
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
    """A connection ended. The byte counts are what the application moved, whether captured or not.

    `read_bytes` and `written_bytes` are all, `read_lost` and `written_lost` those that were not captured.
    """

    connection: Connection
    process: schema.Process
    time_ns: int
    read_bytes: int
    written_bytes: int
    read_lost: int
    written_lost: int


@dataclass(slots=True)
class Lost:
    """Records that never arrived. `connection` is None where the loss belongs to no known one.

    `count` records or `bytes` bytes are lost, 0 is unknown; `why` says it in words.
    """

    connection: Connection | None
    process: schema.Process | None
    time_ns: int
    count: int
    bytes: int
    why: str


TraceRecord = Opened | Handshake | Data | Closed | Lost
"""What the read step yields, and what a saved capture yields again."""


@dataclass(slots=True)
class UnknownHeader:
    """A header of which not all is known: HTTP/2 sent it as a reference to one that was not seen.

    It stood before the header number `position` of those that are known (from 0). `name` or `value`, or both,
    are None.
    """

    position: int
    name: str | None
    value: str | None


@dataclass(slots=True)
class Message:
    """One half of an exchange, filled in while it is decoded.

    `is_request` tells which half. A request has `method`, `scheme`, `authority` and `target`, a response
    `status` and `reason`; None is unknown. `protocol` is what an extended CONNECT asks for.
    `headers` are (name, value) in the order and case in which they were sent, without HTTP/2's
    pseudo-headers. `body` has transfer and content encodings removed; `body_bytes` is its size before any
    bound cut it; `body_wire_bytes` its size as transferred. `trailers` are headers that came behind the body,
    `unknown_headers` those of which not all is known. `start_ns` and `end_ns` are when it began and ended.
    """

    is_request: bool
    method: str | None = ""
    scheme: str | None = ""
    authority: str | None = ""
    target: str | None = ""
    status: int | None = 0
    reason: str = ""
    protocol: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    unknown_headers: list[UnknownHeader] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    body_bytes: int = 0
    body_wire_bytes: int = 0
    trailers: list[tuple[str, str]] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int | None = None


MissingPart = Literal[
    "request",
    "request headers",
    "request body",
    "response",
    "response headers",
    "response body",
    "message",
]
"""Of an exchange; "message" of a ProtocolMessage."""
MissingReason = Literal["lost", "not seen", "unfinished", "over the limit", "not decodable"]
"""Not captured; sent before the trace; never sent; beyond what tlstap keeps; not as the protocol demands."""


@dataclass(slots=True)
class Missing:
    """What an exchange or a message lacks: which `part`, the `reason`, how many `bytes` if that is known."""

    part: MissingPart
    reason: MissingReason
    bytes: int | None = None


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and its response. `informational` are 1xx responses that came before the final one.

    `request` and `response` are None while nothing of them was seen; `missing` is what is known to lack.
    `protocol` is the version, as in "HTTP/1.1".
    `stream_id` is that of the stream of HTTP/2 which it is, or in the tunnel of which it is.
    `pushed`: the server promised the request itself. `reset`: why one side gave the stream up.
    `body_format` is the name of the format whose messages the bodies consist of.
    """

    connection: Connection
    process: schema.Process
    protocol: str
    stream_id: int | None = None
    request: Message | None = None
    response: Message | None = None
    informational: list[Message] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    pushed: bool = False
    reset: str | None = None
    body_format: str | None = None


@dataclass(slots=True)
class HeadSeen:
    """Progress, for those who show traffic as it happens: the head of a message is complete.

    `message` is one half of `exchange`, and `direction` that in which it goes.
    """

    exchange: Exchange
    message: Message
    direction: Direction
    time_ns: int


@dataclass(slots=True)
class MessageEnded:
    """Progress: a message is as complete as it will get (what lacks is in `exchange.missing`).

    `message` is one half of `exchange`, and `direction` that in which it went.
    """

    exchange: Exchange
    message: Message
    direction: Direction
    time_ns: int


@dataclass(slots=True)
class ExchangeEnded:
    """An exchange is over: both halves ended, or the connection or the trace did. Becomes the http event.

    `complete`: nothing is missing in `exchange`.
    """

    exchange: Exchange
    time_ns: int
    complete: bool


@dataclass(slots=True, eq=False)
class ProtocolMessage:
    """A message of a protocol that is not HTTP's request or response. Becomes the message event.

    A decoder takes `process`, `time_ns` and `direction` from the StreamBytes that completed the message;
    `protocol` is its own name.
    `type` is the protocol's word for what it is; `payload` its content, decoded, the first bytes of `size`;
    `details` what else the protocol says; `missing` what it lacks. `exchange` is what it travels in, if it
    does in HTTP; `stream_id` that of the stream of HTTP/2, if there is one.
    """

    connection: Connection
    process: schema.Process
    time_ns: int
    direction: Direction
    protocol: str
    type: str
    payload: bytes = b""
    size: int = 0
    details: dict[str, JsonValue] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    stream_id: int | None = None
    exchange: Exchange | None = None


@dataclass(slots=True)
class Undecoded:
    """Progress: bytes of a stream that no protocol decoder understands, in order.

    A decoder takes `process`, `time_ns`, `direction`, `offset` and `payload` from the StreamBytes.
    `lost_before` is the size of the gap (bytes that were not captured) right before `offset`. With a
    `stream_id` they are bytes of that stream of HTTP/2, and so is `offset`.
    """

    connection: Connection
    process: schema.Process
    time_ns: int
    direction: Direction
    offset: int
    payload: bytes
    lost_before: int = 0
    stream_id: int | None = None


DecodedRecord = HeadSeen | MessageEnded | ExchangeEnded | ProtocolMessage | Undecoded
"""What decoders give out."""

Record = TraceRecord | DecodedRecord
