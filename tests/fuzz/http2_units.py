"""HTTP/2 as fuzzers put it together."""

from __future__ import annotations

from struct import pack

from hyperframe.frame import SettingsFrame

from tests.fuzz.script import Move
from tlstap.protocols.http2.frames import PREFACE

PRELUDE = (
    Move("write", PREFACE + SettingsFrame().serialize()),
    Move("read", SettingsFrame().serialize()),
)

GET = bytes.fromhex("828784010168")
OK = b"\x88"

WORDS = (
    *(
        PREFACE,
        GET,
        OK,
        b"\x82\x87\x44\x01/",
        b"\x40\x01a\x01b",
        b"\xbe",
        b"\xbf\xc0",
        b"\x3f\xe1\x1f",
        b"\x20",
    ),
    *(b"\x03CONNECT", b"\x00\x09:protocol\x09websocket", b"\x0f\x0d\x01\x39", b"\x00\x00\x00\x04\x01"),
    *(
        b"\x0f\x2b\x04gzip",
        b"\x5f\x10text/event-stream",
        b"\x5f\x10application/grpc",
        b"\x7f\xff\xff\xff\x0f",
    ),
)


def raw_frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A frame."""
    return pack(">I", len(payload))[1:] + pack(">BBI", kind, flags, stream_id) + payload


def frame(payload: bytes) -> bytes:
    """A frame: its type, flags and stream are the first three bytes."""
    kind, flags, stream_id = (*payload[:3], 0, 0, 0)[:3]
    return raw_frame(kind % 11, flags, stream_id, payload[3:])
