"""Traced conversations for the benchmark of decoders, and how long other libraries read the same bytes."""

from __future__ import annotations

import gzip
import random
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.settings
import h11
from tests.unit.protocols.conversation import Conversation
from wsproto.connection import Connection as WebSocketEnd
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate

from tlstap.records import Direction, TraceRecord

RECORD = 16 * 1024
"""Bytes of a record at most, as tlstap captures them."""


@dataclass(frozen=True)
class Load:
    """Records of a conversation with so many messages, exchanges or the like, and so many bytes.

    `baseline` reads the same bytes with the library `library` and returns the seconds that it took.
    """

    title: str
    records: tuple[TraceRecord, ...]
    messages: int
    bytes: int
    library: str = ""
    baseline: Callable[[], float] | None = None


class Stopwatch:
    """Adds up the time that is spent inside of it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began


@dataclass
class Recorder:
    """What both ends of a connection send, in order."""

    talk: Conversation = field(default_factory=Conversation)
    sent: list[tuple[Direction, bytes]] = field(default_factory=list)

    def move(self, direction: Direction, data: bytes) -> None:
        for at in range(0, len(data), RECORD):
            piece = data[at : at + RECORD]
            self.talk.move(direction, piece)
            self.sent.append((direction, piece))

    def load(
        self, title: str, messages: int, library: str = "", baseline: Callable[[], float] | None = None
    ) -> Load:
        size = sum(len(piece) for _, piece in self.sent)
        return Load(title, tuple(self.talk.close().records), messages, size, library, baseline)


def text(size: int) -> bytes:
    """Text that compresses as pages do, always the same."""
    words = [bytes(random.Random(seed).choices(b"etaoinshrdlu", k=2 + seed % 9)) for seed in range(400)]
    choice = random.Random(1)
    made = bytearray()
    while len(made) < size:
        made += choice.choice(words) + b" "
    return bytes(made[:size])


# HTTP/1


def http1(title: str, exchanges: int, body: bytes, *, chunk: int = 0, coding: str = "") -> Load:
    """Requests and responses with that body, in turn."""
    recorder = Recorder()
    wire = gzip.compress(body, 6, mtime=0) if coding else body
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: bench\r\nDate: today\r\n"
    if coding:
        head += b"Content-Encoding: %s\r\n" % coding.encode()
    if chunk:
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        pieces = (wire[at : at + chunk] for at in range(0, len(wire), chunk))
        response = head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        response = head + b"Content-Length: %d\r\n\r\n%s" % (len(wire), wire)
    for number in range(exchanges):
        recorder.move("write", _http1_request(number))
        recorder.move("read", response)
    return recorder.load(title, exchanges, "h11", lambda: _h11(recorder.sent, coding))


def _http1_request(number: int) -> bytes:
    return (
        b"GET /path/to/%d?query=value HTTP/1.1\r\nHost: example.org\r\nUser-Agent: bench/1.0\r\n"
        b"Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\n\r\n"
        % number
    )


def _h11(sent: list[tuple[Direction, bytes]], coding: str) -> float:
    """A server that reads the requests, and a client that reads the responses; both have nothing to send."""
    watch = Stopwatch()
    with watch.running():
        server, client = h11.Connection(h11.SERVER), _h11_client()
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content = bytearray()
        for direction, data in sent:
            end = server if direction == "write" else client
            end.receive_data(data)
            while True:
                event = end.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if isinstance(event, h11.Data):
                    content += inflate.decompress(event.data) if coding else event.data
                elif isinstance(event, h11.EndOfMessage):
                    content.clear()
                    if end is server:
                        server = h11.Connection(h11.SERVER)
                    else:
                        client = _h11_client()
                    break
    return watch.seconds


def _h11_client() -> h11.Connection:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    return client


# HTTP/2

_REQUEST = (
    *((":method", "GET"), (":scheme", "https"), (":authority", "example.org"), (":path", "/path/to")),
    *(("user-agent", "bench/1.0"), ("accept", "*/*"), ("accept-encoding", "gzip, deflate, br")),
    ("cookie", "session=0123456789abcdef"),
)
_RESPONSE = ((":status", "200"), ("content-type", "text/plain"), ("server", "bench"), ("date", "today"))


class Http2Ends:
    """Two ends of HTTP/2, by h2, whose bytes are recorded and whose receiving is timed."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.watch = Stopwatch()
        config = h2.config.H2Configuration(validate_inbound_headers=False, validate_outbound_headers=False)
        self.client = h2.connection.H2Connection(config)
        config = h2.config.H2Configuration(
            client_side=False, validate_inbound_headers=False, validate_outbound_headers=False
        )
        self.server = h2.connection.H2Connection(config)
        window, most = (
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE,
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS,
        )
        for end in (self.client, self.server):
            end.initiate_connection()
            end.update_settings({window: (1 << 31) - 1, most: 10_000})
            end.increment_flow_control_window((1 << 30) - 1)
        for _ in range(2):
            self.flush(self.client)
            self.flush(self.server)

    def flush(self, end: h2.connection.H2Connection) -> None:
        """What an end has to send is recorded, and received by the other one."""
        data = end.data_to_send()
        self.recorder.move("write" if end is self.client else "read", data)
        other = self.server if end is self.client else self.client
        with self.watch.running():
            other.receive_data(data)


def http2(
    title: str, exchanges: int, streams: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()
) -> Load:
    """Exchanges, `streams` of them at a time, whose bodies are interleaved frame by frame."""

    def talk() -> Http2Ends:
        ends = Http2Ends()
        for first in range(0, exchanges, streams):
            wave = range(first, min(exchanges, first + streams))
            for number in wave:
                path = (":path", f"/path/to/{number}?query=value")
                ends.client.send_headers(
                    2 * number + 1, [*_REQUEST[:3], path, *_REQUEST[4:]], end_stream=True
                )
                ends.flush(ends.client)
            for number in wave:
                ends.server.send_headers(2 * number + 1, [*_RESPONSE, *headers])
            for at in range(0, len(body), RECORD):
                piece = body[at : at + RECORD]
                for number in wave:
                    ends.server.send_data(2 * number + 1, piece, end_stream=at + RECORD >= len(body))
                    ends.flush(ends.server)
                    ends.client.increment_flow_control_window(len(piece))
            ends.flush(ends.client)
        return ends

    return talk().recorder.load(title, exchanges, "h2", lambda: talk().watch.seconds)


# WebSocket


def websocket(title: str, messages: int, payload: bytes | str, *, deflate: bool = False) -> Load:
    """Messages in both directions, in turn."""
    recorder = Recorder()
    extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflate else b""
    switch = b"Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + extension + b"\r\n"
    recorder.move("write", b"GET / HTTP/1.1\r\n" + switch)
    recorder.move("read", b"HTTP/1.1 101 Switching Protocols\r\n" + switch)
    client, server = _websocket_ends(deflate)
    event = TextMessage(payload) if isinstance(payload, str) else BytesMessage(payload)
    frames = len(recorder.sent)
    for number in range(messages):
        if number % 2:
            recorder.move("read", server.send(event))
        else:
            recorder.move("write", client.send(event))
    return recorder.load(title, messages, "wsproto", lambda: _wsproto(recorder.sent[frames:], deflate))


def _websocket_ends(deflate: bool) -> tuple[WebSocketEnd, WebSocketEnd]:
    def extensions() -> list[Extension]:
        extension = PerMessageDeflate()
        extension._enabled = True
        return [extension] if deflate else []

    return (
        WebSocketEnd(ConnectionType.CLIENT, extensions()),
        WebSocketEnd(ConnectionType.SERVER, extensions()),
    )


def _wsproto(sent: list[tuple[Direction, bytes]], deflate: bool) -> float:
    watch = Stopwatch()
    client, server = _websocket_ends(deflate)
    with watch.running():
        for direction, data in sent:
            end = server if direction == "write" else client
            end.receive_data(data)
            for _ in end.events():
                pass
    return watch.seconds


# Bytes of no known protocol


def unknown(title: str, calls: int, size: int, *, alternating: bool) -> Load:
    """Calls that move so many random bytes, in turn or all in one direction."""
    recorder = Recorder()
    noise = random.Random(2)
    for number in range(calls):
        recorder.move("write" if alternating and number % 2 else "read", noise.randbytes(size))
    return recorder.load(title, calls)


# Bodies that consist of messages


def events(count: int, data: bytes) -> Load:
    """Server-sent events, each in a record of its own."""
    recorder = Recorder()
    recorder.move("write", _http1_request(0))
    recorder.move("read", b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    for number in range(count):
        recorder.move("read", b"event: update\nid: %d\ndata: %s\n\n" % (number, data))
    return recorder.load("server-sent events", count)


def grpc(title: str, count: int) -> Load:
    """One call with so many messages in each direction, of about 60 bytes."""
    ends = Http2Ends()
    kind = ("content-type", "application/grpc")
    path = (":path", "/fuzz.Service/Call")
    ends.client.send_headers(1, [(":method", "POST"), *_REQUEST[1:3], path, kind, ("te", "trailers")])
    ends.flush(ends.client)
    ends.server.send_headers(1, [(":status", "200"), kind])
    for number in range(count):
        inner = b"\x1a\x05child" + b"\x29" + bytes(8)  # text and real of a child
        message = b"\x0a%c%s\x1a\x14%020d\x2a\x03\x01\x02\x03\x40\x01" % (len(inner), inner, number)
        prefixed = b"\0" + len(message).to_bytes(4, "big") + message
        for end in (ends.client, ends.server):
            end.send_data(1, prefixed)
            ends.flush(end)
    return ends.recorder.load(title, 2 * count)
