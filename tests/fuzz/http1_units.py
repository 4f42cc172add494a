"""HTTP/1 as fuzzers put it together."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli
import zstandard

from tests.fuzz.script import Move

GET = (Move("write", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),)

WORDS = (
    *(b"GET / HTTP/1.1\r\n", b"HEAD / HTTP/1.0\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"POST "),
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 x\r\n", b"HTTP/1.1 204 x\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Connection: upgrade\r\n"),
    *(b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n"),
    *(b"Content-Type: text/event-stream\r\n", b"Content-Encoding: br, gzip\r\n", b"\r\n\r\n"),
)


def responding(content_type: bytes) -> tuple[Move, ...]:
    """A request, and a response whose body ends with the connection."""
    return *GET, Move("read", b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n" % content_type)


def chunk(payload: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def event(payload: bytes) -> bytes:
    """A server-sent event."""
    return b"data: %s\n\n" % payload


CODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": lambda data: gzip.compress(data, 1, mtime=0),
    b"deflate": lambda data: zlib.compress(data, 1),
    b"br": lambda data: brotli.compress(data, quality=1),
    b"zstd": lambda data: zstandard.compress(data, 1),
}


def coded_response(payload: bytes) -> bytes:
    """A response with a coded body; the first byte says which coding, and whether that is true."""
    choice, body = payload[0] if payload else 0, payload[1:]
    name = list(CODERS)[choice & 3]
    wire = body if choice & 4 else CODERS[name](body)
    if choice & 8:
        wire = CODERS[b"gzip"](wire)
        name += b", gzip"
    length = len(wire) + (choice >> 5)  # more than there is
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (name, length, wire)
