"""A small HTTP/2 server over TLS on 127.0.0.1, in threads of this process."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.certificates import Certificates
from tests.support.http2 import PREFACE
from tests.support.http2_peer import SECONDS, Peer, Stream
from tests.support.wait import wait_until

_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


class Http2Server:
    """Listens on `port`. `peers` are its ends of the connections that clients have made."""

    def __init__(
        self, certificates: Certificates, handler: Callable[[Stream], None], *, alpn: bool = True
    ) -> None:
        """:param handler: called for each request, in a thread of its own.

        :param alpn: whether it agrees on HTTP/2; else clients begin with it, or upgrade from HTTP/1.1.
        """
        self.peers: list[Peer] = []
        self._handler = handler
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.certificate, certificates.key)
        if alpn:
            self._context.set_alpn_protocols(["h2"])
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """https URL of a path."""
        return f"https://{host}:{self.port}{path}"

    def wait_ended(self) -> None:
        """Wait until all connections have ended, with all that was sent to it read."""
        wait_until(lambda: not any(peer.is_open for peer in self.peers), "connections to end", SECONDS)

    def close(self) -> None:
        """Stop, and close all connections."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Browsers open connections that they don't use then.
        with contextlib.suppress(OSError):
            tls = self._context.wrap_socket(plain, server_side=True)
            head = piece = tls.recv(65536)
            while piece and not (PREFACE.startswith(head[:24]) or b"\r\n\r\n" in head):
                piece = tls.recv(65536)
                head += piece
            if PREFACE.startswith(head[:24]):
                self._begin(Peer(tls, self._handler), head)
            else:
                self._upgrade(tls, head)

    def _upgrade(self, tls: ssl.SSLSocket, head: bytes) -> None:
        """A request of HTTP/1.1 that asks for HTTP/2; it becomes the first stream."""
        start, *lines = head.decode().rstrip().split("\r\n")
        method, target, _ = start.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert headers["upgrade"] == "h2c"
        tls.sendall(_SWITCHING)
        peer = Peer(tls, self._handler, upgrade=headers["http2-settings"])
        stream = peer.stream(1)
        stream.heads.put([(":method", method), (":path", target), *headers.items()])
        stream.pieces.put(b"")
        self._begin(peer, b"")
        self._handler(stream)

    def _begin(self, peer: Peer, received: bytes) -> None:
        self.peers.append(peer)
        peer.start(received)


@contextmanager
def run_http2_server(
    certificates: Certificates, handler: Callable[[Stream], None], *, alpn: bool = True
) -> Iterator[Http2Server]:
    """Have it around the block."""
    server = Http2Server(certificates, handler, alpn=alpn)
    try:
        yield server
    finally:
        server.close()


def connect(port: int, certificates: Certificates, *, alpn: bool = True) -> ssl.SSLSocket:
    """A TLS connection to a server of 127.0.0.1 that agrees on HTTP/2, or (no `alpn`) on nothing."""
    context = ssl.create_default_context(cafile=certificates.authority)
    if alpn:
        context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")
