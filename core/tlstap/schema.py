"""THE event schema: what leaves tlstap, whatever the library, the sink or the language of the reader.

Unknown is null, never an invented value. Fields are added, never changed, within one `schema_version`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    TypeAdapter,
    WithJsonSchema,
)

SCHEMA_VERSION: Literal[1] = 1


def _bytes_from_base64(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from None
    return value


Base64Data = Annotated[
    bytes,
    BeforeValidator(_bytes_from_base64),
    PlainSerializer(lambda data: base64.b64encode(data).decode("ascii"), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
"""Bytes in Python, standard base64 in JSON."""


class Model(BaseModel):
    """Base of the schema's models: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Process(Model):
    """The process, and the thread of it, that made the call."""

    pid: int
    tid: int
    uid: int
    comm: str
    """The thread's name, at most 15 bytes."""
    exe: str | None
    """Path of the executable in the process's own mount namespace."""
    container: str | None
    """The container's id, from the process's cgroup."""


class LibraryInfo(Model):
    """The TLS library that carried the traffic."""

    name: str
    """The plugin's name for it, as `--lib` takes it."""
    version: str | None
    path: str | None
    """The file that contains the library, as its process sees it."""
    build_id: str | None


class Endpoint(Model):
    """One end of a TCP connection. An IPv4-mapped IPv6 address is given as the IPv4 one."""

    address: str
    port: int


class Connection(Model):
    """One TLS connection of one process, with what was known about it when the event was made."""

    id: int
    """Unique in a run."""
    local: Endpoint | None
    remote: Endpoint | None
    inferred: bool
    """The addresses were concluded from the thread's last socket, not seen during a TLS call."""
    role: Literal["client", "server"] | None
    sni: str | None
    alpn: str | None
    tls_version: str | None
    cipher: str | None


class _Event(Model):
    schema_version: Literal[1] = SCHEMA_VERSION
    time_ns: int
    """Wall clock, nanoseconds since the epoch."""
    seq: int
    """Rises with each event that was made in a run; one that a filter on kinds left out leaves a hole."""


class _ConnectionEvent(_Event):
    process: Process
    library: LibraryInfo
    connection: Connection


class OpenEvent(_ConnectionEvent):
    """A connection is first seen."""

    kind: Literal["open"] = "open"
    from_start: bool
    """False: the connection is older than the trace, its beginning was not seen."""


class HandshakeEvent(_ConnectionEvent):
    """A handshake ended."""

    kind: Literal["handshake"] = "handshake"
    duration_ns: int
    ok: bool


class DataEvent(_ConnectionEvent):
    """Bytes were read or written by the application.

    One call of the library may yield several events (16 KiB each); `offset` and `length` tile the stream.
    """

    kind: Literal["data"] = "data"
    direction: Literal["read", "write"]
    offset: int
    """Of the first byte, in this direction's stream of this connection (from where it was first seen)."""
    length: int
    """How many bytes of the stream this event stands for."""
    captured: int
    """How many of them are in `data` (the first ones); less than `length` where a bound cut the call."""
    data: Base64Data
    function: str
    """The function of the library that moved the bytes."""
    duration_ns: int
    """How long the call took."""


class UnknownHeader(Model):
    """A header of which not all is known: HTTP/2 sent it as a reference to one that was not seen."""

    position: int
    """It stood before the header of that number in `headers` (from 0)."""
    name: str | None
    value: str | None


class Content(Model):
    """What a message carries."""

    body: str
    """Transfer and content encodings removed; encoded as `body_encoding` says."""
    body_encoding: Literal["utf-8", "base64"]
    """utf-8 where the body is text, else base64."""
    body_bytes: int
    """The decoded body's whole size, also where a bound cut `body`."""

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return self.body.encode() if self.body_encoding == "utf-8" else base64.b64decode(self.body)


class HttpMessage(Content):
    """What request and response have in common."""

    headers: tuple[tuple[str, str], ...]
    """(name, value) in the order and case of the wire, without HTTP/2's pseudo-headers; bytes outside UTF-8
    as Latin-1."""
    unknown_headers: tuple[UnknownHeader, ...] = ()
    """Those which are missing in `headers`."""
    trailers: tuple[tuple[str, str], ...]


class HttpRequest(HttpMessage):
    """The request of an exchange. In HTTP/2 a pseudo-header may be unknown, as a header may."""

    method: str | None
    scheme: str | None
    authority: str | None
    target: str | None
    protocol: str | None = None
    """What an extended CONNECT of HTTP/2 asks for."""


class HttpResponse(HttpMessage):
    """The response of an exchange (the final one)."""

    status: int | None
    reason: str


class HttpTimings(Model):
    """First and last byte of each half, wall clock in nanoseconds, as far as they were seen."""

    request_start_ns: int | None
    request_end_ns: int | None
    response_start_ns: int | None
    response_end_ns: int | None


class Missing(Model):
    """A part that is not there. Headers are missing where HTTP/2 refers to some that were not seen."""

    part: Literal[
        "request",
        "request headers",
        "request body",
        "response",
        "response headers",
        "response body",
        "message",
    ]
    reason: Literal["lost", "not seen", "unfinished", "over the limit", "not decodable"]
    bytes: int | None
    """How much is missing, where that is known."""


class HttpEvent(_ConnectionEvent):
    """An HTTP exchange ended, or its connection or the trace did."""

    kind: Literal["http"] = "http"
    protocol: str
    """"HTTP/1.1", "HTTP/1.0", "HTTP/2"."""
    stream_id: int | None
    request: HttpRequest | None
    response: HttpResponse | None
    informational: tuple[HttpResponse, ...] = ()
    """1xx responses that came before the final one."""
    timings: HttpTimings
    complete: bool
    missing: tuple[Missing, ...]
    pushed: bool = False
    """The server promised the request itself."""
    reset: str | None = None
    """Why one side gave up the stream, in the words of HTTP/2."""


class MessageEvent(_ConnectionEvent, Content):
    """A message of a protocol other than HTTP, or one of those which an HTTP body consists of."""

    kind: Literal["message"] = "message"
    protocol: str
    """"websocket", "grpc", "sse", "http2" (control frames), or a plugin's."""
    direction: Literal["read", "write"]
    type: str
    """The protocol's word for what it is: "text", "ping", the name of a server-sent event, ..."""
    stream_id: int | None
    method: str | None
    """Method and target of the HTTP request with which it travels, if it does."""
    target: str | None
    details: dict[str, JsonValue]
    """What the protocol says besides the content."""
    missing: tuple[Missing, ...]


class SecretEvent(_ConnectionEvent):
    """The library derived a secret of the connection, as a key log line has it."""

    kind: Literal["secret"] = "secret"
    label: str
    client_random: str
    secret: str


class CloseEvent(_ConnectionEvent):
    """A connection ended, or the trace did while it was open."""

    kind: Literal["close"] = "close"
    read_bytes: int
    """What the application read, captured or not."""
    written_bytes: int
    read_lost: int
    """How many of `read_bytes` never reached tlstap."""
    written_lost: int


class LostEvent(_Event):
    """Something was lost on its way from the kernel."""

    kind: Literal["lost"] = "lost"
    process: Process | None
    library: LibraryInfo | None
    connection: Connection | None
    count: int
    """How many records; 0 for a gap in a connection's stream, of which only the size is known."""
    bytes: int
    """Bytes of streams; at the end of a trace those that belong to no known connection."""
    why: str


Event = Annotated[
    OpenEvent | HandshakeEvent | DataEvent | HttpEvent | MessageEvent | SecretEvent | CloseEvent | LostEvent,
    Field(discriminator="kind"),
]

KINDS: tuple[str, ...] = ("open", "handshake", "data", "http", "message", "secret", "close", "lost")

event_adapter: TypeAdapter[Event] = TypeAdapter(Event)
"""Validates an event of any kind: `event_adapter.validate_json(line)`."""


def json_schema() -> dict[str, Any]:
    """JSON Schema of an event, as it is written to a line of `-f json`."""
    return event_adapter.json_schema(mode="serialization")
