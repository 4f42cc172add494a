"""The protocol decoders that tlstap brings along, as a plugin."""

from __future__ import annotations

from collections.abc import Sequence

from tlstap.hookspecs import hookimpl
from tlstap.protocols.base import Protocol
from tlstap.protocols.body_formats import BodyFormat, BodyOptions
from tlstap.protocols.grpc.format import Grpc
from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.http2.decoder import Http2
from tlstap.protocols.sse import Sse
from tlstap.protocols.websocket.decoder import WebSocket


@hookimpl
def tlstap_protocols() -> Sequence[Protocol]:
    """WebSocket, which an HTTP exchange can tell beyond doubt, then HTTP/1 and HTTP/2."""
    return (WebSocket(), Http1(), Http2())


@hookimpl
def tlstap_body_formats(options: BodyOptions) -> Sequence[BodyFormat]:
    """Server-sent events and gRPC."""
    return (Sse(), Grpc(options.protosets))
