"""What is fuzzed: each target is a kind of conversation, decoded by all that tlstap brings along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz import grpc_units, http1_units, http2_units, websocket_units
from tests.fuzz.script import Move, Units
from tlstap.protocols.base import Protocol
from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.http2.decoder import Http2


@dataclass(frozen=True)
class Target:
    """A kind of conversation.

    `units` makes what the moves of a script carry; `prelude` are the first moves. `protocol` is what the
    connection speaks from its first byte on, None if recognition decides. `dictionary` are words that the
    fuzzer may insert.
    """

    protocol: Callable[[], Protocol] | None
    units: Units
    prelude: tuple[Move, ...] = ()
    alpn: str | None = None
    dictionary: tuple[bytes, ...] = ()


TARGETS: dict[str, Target] = {
    "http1": Target(Http1, Units(http1_units.chunk), alpn="http/1.1", dictionary=http1_units.WORDS),
    "content": Target(
        Http1,
        Units(http1_units.coded_response),
        http1_units.GET,
        dictionary=(b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"\x78\x9c"),
    ),
    "sse": Target(
        Http1,
        Units(http1_units.event),
        http1_units.responding(b"text/event-stream"),
        dictionary=(b"data:", b"event: ", b"id:\0", b"retry: 1\r\n", b":\r", b"\xef\xbb\xbf", b"\n\n"),
    ),
    "http2": Target(Http2, Units(http2_units.frame), http2_units.PRELUDE, "h2", http2_units.WORDS),
    "http2-middle": Target(Http2, Units(http2_units.frame), (), "h2", http2_units.WORDS),
    "websocket": Target(
        None, Units(websocket_units.frame), websocket_units.PRELUDE, dictionary=websocket_units.WORDS
    ),
    "grpc": Target(Http2, Units(grpc_units.message, grpc_units.data), grpc_units.PRELUDE, "h2"),
    "grpc-web": Target(
        Http1, Units(grpc_units.text), http1_units.responding(b"application/grpc-web-text+proto")
    ),
    "protobuf": Target(Http2, Units(grpc_units.message, grpc_units.plain_message), grpc_units.PRELUDE, "h2"),
}
