"""An end of an HTTP/2 connection over TLS, in threads of this process; every step is the test's to take."""

from __future__ import annotations

import queue
import select
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    PushedStreamReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

Headers: TypeAlias = Sequence[tuple[str, str]]
SECONDS = 60.0
"""How long an end waits for the other one."""


@dataclass(eq=False)
class Stream:
    """A stream as this end sees it. What arrives is waited for; what is sent heeds the other's window."""

    peer: Peer
    id: int
    heads: queue.Queue[list[tuple[str, str]]] = field(default_factory=queue.Queue)
    """Heads in the order of arrival: the request's or those of responses, then trailers."""
    pieces: queue.Queue[bytes] = field(default_factory=queue.Queue)
    """Of the body; an empty one ends it."""
    reset_by_peer: int | None = None

    def head(self) -> dict[str, str]:
        """The next head that the other end sent."""
        return dict(self.heads.get(timeout=SECONDS))

    def piece(self) -> bytes:
        """The next bytes of the body, empty at its end."""
        return self.pieces.get(timeout=SECONDS)

    def body(self) -> bytes:
        """All of the body that was not taken yet."""
        return b"".join(iter(self.piece, b""))

    def send_head(self, headers: Headers, end: bool = False) -> None:
        """Send a head or trailers."""
        with self.peer.at_work() as http2:
            http2.send_headers(self.id, headers, end_stream=end)

    def send(self, content: bytes, end: bool = False) -> None:
        """Send bytes of the body."""
        place = 0
        while place < len(content) or end:
            with self.peer.at_work() as http2:
                room = min(http2.local_flow_control_window(self.id), http2.max_outbound_frame_size)
                piece = content[place : place + room]
                place += len(piece)
                last = end and place == len(content)
                if piece or last:
                    http2.send_data(self.id, piece, end_stream=last)
                else:
                    assert self.peer.changed.wait(SECONDS), "the other end gives no room"
                if last:
                    return

    def answer(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """Send a whole response."""
        self.send_head([(":status", str(status)), *headers], end=not body)
        if body:
            self.send(body, end=True)

    def push(self, headers: Headers) -> Stream:
        """Promise a request on this stream; the new stream, on which to answer it."""
        with self.peer.at_work() as http2:
            promised = self.peer.stream(http2.get_next_available_stream_id())
            http2.push_stream(self.id, promised.id, headers)
        return promised

    def reset(self, code: int) -> None:
        """Give the stream up."""
        with self.peer.at_work() as http2:
            http2.reset_stream(self.id, code)


class _AtWork:
    """Holds an end's lock; what was made for the other end meanwhile is sent on the way out."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def __enter__(self) -> H2Connection:
        self._peer.changed.acquire()
        return self._peer.http2

    def __exit__(self, *_: object) -> None:
        try:
            self._peer.flush()
        finally:
            self._peer.changed.release()


class Peer:
    """One end. The TLS connection is its own, and closed with it.

    :param handler: of a server: called in a thread of its own for each request, when its head is there.
    :param upgrade: the value of HTTP2-Settings with which an HTTP/1.1 connection became this one; "" for a
        client, which makes one up: see `upgrade_settings`.
    :param read_size: how many bytes are read at a time.
    """

    def __init__(
        self,
        tls: ssl.SSLSocket,
        handler: Callable[[Stream], None] | None = None,
        *,
        upgrade: str | None = None,
        read_size: int = 65536,
    ) -> None:
        self.tls = tls
        self.changed = threading.Condition(threading.RLock())
        self.reading = threading.Event()
        """While it is not set, nothing is read."""
        self.reading.set()
        self.received = 0
        """Bytes that were read."""
        self._handler = handler
        self._read_size = read_size
        self._streams: dict[int, Stream] = {}
        self._closed = False
        self.http2 = H2Connection(H2Configuration(client_side=handler is None, header_encoding="utf-8"))
        self.upgrade_settings = b""
        if handler is not None:
            settings = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1, SettingCodes.MAX_CONCURRENT_STREAMS: 100}
            self.http2.local_settings = Settings(client=False, initial_values=settings)
        if upgrade is None:
            self.http2.initiate_connection()
        else:
            self.upgrade_settings = self.http2.initiate_upgrade_connection(upgrade.encode() or None) or b""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, received: bytes = b"") -> Peer:
        """Begin to talk.

        :param received: what was read already.
        """
        self.tls.setblocking(False)
        with self.at_work():
            self._take(received)
        self._thread.start()
        return self

    def stream(self, number: int | None) -> Stream:
        """The stream of that number."""
        assert number is not None
        with self.changed:
            return self._streams.setdefault(number, Stream(self, number))

    def request(self, headers: Headers, body: bytes | None = b"") -> Stream:
        """Send a request; None as its body leaves it open."""
        with self.at_work() as http2:
            stream = self.stream(http2.get_next_available_stream_id())
            http2.send_headers(stream.id, headers, end_stream=body == b"")
        if body:
            stream.send(body, end=True)
        return stream

    @property
    def is_open(self) -> bool:
        """Whether more may be read."""
        return self._thread.is_alive()

    def at_work(self) -> _AtWork:
        """Use the h2 connection; what it has to say is sent at the end of the block."""
        return _AtWork(self)

    def flush(self) -> None:
        """Send what there is to send."""
        data = memoryview(self.http2.data_to_send())
        while data:
            try:
                data = data[self.tls.send(data) :]
            except ssl.SSLWantWriteError:
                select.select([], [self.tls], [], SECONDS)

    def close(self) -> None:
        """Say goodbye and close the connection."""
        if not self._closed:
            with self.at_work() as http2:
                http2.close_connection()
            self._closed = True
            self.tls.shutdown(2)
        if self._thread.is_alive():
            self.reading.set()
            self._thread.join(SECONDS)
        self.tls.close()

    def _run(self) -> None:
        try:
            self._read()
        finally:
            # Who still waits for a body waits in vain.
            with self.changed:
                for stream in self._streams.values():
                    stream.pieces.put(b"")

    def _read(self) -> None:
        while not self._closed:
            self.reading.wait(SECONDS)
            # Never blocked inside the library, so that whoever attaches meanwhile sees the next read.
            if not self.tls.pending():
                select.select([self.tls], [], [], SECONDS)
            with self.at_work():
                try:
                    data = self.tls.recv(self._read_size)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    continue
                except OSError:
                    data = b""
                if not data:
                    self._closed = True
                self._take(data)

    def _take(self, data: bytes) -> None:
        self.received += len(data)
        try:
            events = self.http2.receive_data(data)
        except ProtocolError:
            self._closed = True
            return
        for event in events:
            self._handle(event)
        self.changed.notify_all()

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived():
                stream = self.stream(event.stream_id)
                stream.heads.put(_text(event.headers))
                assert self._handler is not None
                threading.Thread(target=self._handler, args=(stream,), daemon=True).start()
            case ResponseReceived() | TrailersReceived() | InformationalResponseReceived():
                self.stream(event.stream_id).heads.put(_text(event.headers))
            case PushedStreamReceived():
                self.stream(event.pushed_stream_id).heads.put(_text(event.headers))
            case DataReceived():
                self.stream(event.stream_id).pieces.put(event.data)
                if event.flow_controlled_length:
                    self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.stream(event.stream_id).pieces.put(b"")
            case StreamReset():
                stream = self.stream(event.stream_id)
                stream.reset_by_peer = event.error_code
                stream.pieces.put(b"")
            case ConnectionTerminated():
                self._closed = True
            case WindowUpdated():
                pass


def _text(headers: object) -> list[tuple[str, str]]:
    assert isinstance(headers, list)
    return [(str(name), str(value)) for name, value in headers]
