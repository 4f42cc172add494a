"""WebSocket servers that send back what they get: over TLS with HTTP/1.1, and on a stream of HTTP/2."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.handshake import server_extensions_handshake

from tests.support.certificates import Certificates
from tests.support.http2_peer import Stream


@contextmanager
def run_echo_server(certificates: Certificates, compression: str | None = "deflate") -> Iterator[int]:
    """The `websockets` package's server in threads of this process; the port that it listens on.

    :param compression: None for a server that does without.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with serve(_echo, "127.0.0.1", 0, ssl=context, compression=compression, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield int(server.socket.getsockname()[1])
        server.shutdown()
        thread.join()


def _echo(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        for message in connection:
            connection.send(message)


def echo(stream: Stream, head: dict[str, str]) -> None:
    """The same for an extended CONNECT, whose head was received; permessage-deflate if the client can."""
    deflate: Extension = PerMessageDeflate()
    accepted = server_extensions_handshake([head.get("sec-websocket-extensions", "")], [deflate])
    assert isinstance(accepted, bytes | None)
    extensions = [("sec-websocket-extensions", accepted.decode())] if accepted else []
    stream.send_head([(":status", "200"), *extensions])
    websocket = Connection(ConnectionType.SERVER, [deflate] if accepted else [])
    text, binary = "", b""
    while piece := stream.piece():
        websocket.receive_data(piece)
        for event in websocket.events():
            match event:
                case TextMessage():
                    text += event.data
                    if event.message_finished:
                        stream.send(websocket.send(TextMessage(text)))
                        text = ""
                case BytesMessage():
                    binary += event.data
                    if event.message_finished:
                        stream.send(websocket.send(BytesMessage(binary)))
                        binary = b""
                case Ping():
                    stream.send(websocket.send(event.response()))
                case CloseConnection():
                    stream.send(websocket.send(event.response()), end=True)
