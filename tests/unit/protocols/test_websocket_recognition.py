"""WebSockets found in the middle, and what is none."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from tests.unit.protocols.websocket_talk import KEY, Talk, frame, messages, summaries, switch, undecoded

from tlstap.protocols.base import Channel, Switch
from tlstap.protocols.decoding import Toolbox
from tlstap.protocols.websocket.decoder import WebSocket
from tlstap.protocols.websocket.evidence import is_websocket
from tlstap.records import Missing

JSON = b'{"type":"update","value":1234}'


def channel(
    *,
    alpn: str | None = None,
    role: str | None = None,
    led_to: Switch | None = None,
    stream: int | None = None,
) -> Channel:
    found = Channel(switch().exchange.connection, Toolbox([]), False, led_to, stream)
    found.connection.alpn = alpn
    found.connection.role = role  # type: ignore[assignment]
    return found


def test_a_switch_decides() -> None:
    recognise = WebSocket().recognise
    assert recognise(channel(led_to=switch()), "read", b"\xff") is True
    over_http2 = switch()
    assert over_http2.exchange.response is not None
    over_http2.exchange.response.status = 200
    assert recognise(channel(led_to=over_http2, alpn="h2", stream=3), "write", b"\x81") is True
    other = Switch(over_http2.exchange, "h2c", "write")
    assert recognise(channel(led_to=other), "read", frame(1, JSON)) is False
    tunnel = Switch(over_http2.exchange, "", "write")
    assert recognise(channel(led_to=tunnel), "read", frame(1, JSON)) is True


def test_in_the_middle_the_role_and_the_connections_protocol_count() -> None:
    recognise = WebSocket().recognise
    assert recognise(channel(), "read", frame(1, JSON)) is True
    assert recognise(channel(), "read", frame(1, JSON, key=KEY)) is True
    assert recognise(channel(alpn="h2"), "read", frame(1, JSON)) is False
    assert recognise(channel(role="client", alpn="http/1.1"), "read", frame(1, JSON)) is True
    assert recognise(channel(role="client"), "read", frame(1, JSON, key=KEY)) is False
    assert recognise(channel(role="client"), "write", frame(1, JSON)) is False
    assert recognise(channel(role="server"), "write", frame(1, JSON)) is True
    assert recognise(channel(role="server"), "write", b"\x81") is None


def deflated(payload: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


FOUND = {
    "text": [frame(1, JSON)],
    "text of a client": [frame(1, JSON, key=KEY)],
    "text with a separator": [frame(1, JSON + b"\x1e")],
    "text that is long": [frame(1, JSON * 10)],
    "text whose end is not there yet": [frame(1, JSON * 1000)[:2000]],
    "text in fragments": [frame(1, JSON[:10], fin=False, key=KEY) + frame(0, JSON[10:], key=KEY)],
    "short texts": [frame(1, b"ping"), frame(1, b"pong"), frame(1, b"3")],
    "binary data that are huge": [frame(2, bytes(70000))[:20]],
    "binary data that are long": [frame(2, bytes(300)), frame(2, bytes(200))],
    "binary data of a client": [frame(2, b"\x08\x01\x10%c" % n, key=KEY) for n in range(4)],
    "compressed": [frame(1, deflated(b"%d" % n), rsv1=True) for n in range(4)],
    "pings": [frame(9, struct.pack("!I", n)) for n in range(4)],
    "pings that are empty": [frame(9)] * 5,
    "the closing": [frame(1, b"bye!") + frame(9, b"1") + frame(8, b"\x03\xe8")],
}


@pytest.mark.parametrize("records", FOUND.values(), ids=FOUND)
def test_what_is_found(records: list[bytes]) -> None:
    masked = records[0][1] >= 0x80
    joined = b""
    verdicts = []
    for record in records:
        joined += record
        verdicts.append(is_websocket(joined, masked=masked))
    assert True in verdicts
    assert False not in verdicts[: verdicts.index(True)]


def test_messages_in_the_middle() -> None:
    talk = Talk(None).server(frame(1, b"1", fin=False)[2:]).client(frame(1, JSON, key=KEY))
    talk.server(frame(9, b"p")).client(frame(8, b"\x03\xe8", key=KEY))
    out = talk.run()
    assert summaries(out) == [
        f"write text {JSON!r}",
        "read ping b'p'",
        "write close b'' code=1000 reason=''",
    ]
    assert [(message.exchange, message.stream_id) for message in messages(out)] == [(None, None)] * 3
    assert undecoded(out, "read") == [(0, b"1", 0)]


def test_records_that_wait_to_be_recognised_keep_their_times() -> None:
    talk = Talk(None).server(frame(1, b"one")).server(frame(1, b"two")).client(frame(1, b"abc", key=KEY))
    talk.server(frame(1, b"three"))
    out = messages(talk.run())
    assert [(m.payload, m.time_ns) for m in out] == [(b"one", 1), (b"two", 2), (b"abc", 3), (b"three", 4)]


def test_the_other_direction_may_be_inside_a_message() -> None:
    """No frame begins with its first record, and the first that does goes on with a message not seen."""
    talk = Talk(None).client(frame(1, JSON, key=KEY)).server(b"\xf0\xf1\xf2")
    talk.server(frame(0, b"rest")).server(frame(1, b"next"))
    out = talk.run()
    assert summaries(out) == [
        f"write text {JSON!r}",
        "read continuation b'rest' [not seen]",
        "read text b'next'",
    ]
    assert undecoded(out, "read") == [(0, b"\xf0\xf1\xf2", 0)]


def test_compressed_messages_in_the_middle() -> None:
    """They can't be inflated where they refer to what was not seen."""
    deflate = zlib.compressobj(wbits=-15)

    def sent(payload: bytes) -> bytes:
        return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]

    sent(JSON)
    unseen, new, known = sent(JSON), sent(b"something else"), sent(b"something else")
    talk = Talk(None).client(frame(1, JSON, key=KEY))
    for payload in (unseen, new, known):
        talk.server(frame(1, payload, rsv1=True))
    first, *found = messages(talk.run())
    assert first.payload == JSON
    assert [(message.payload, message.size, message.details, message.missing) for message in found] == [
        (unseen, len(unseen), {"compressed": True}, [Missing("message", "not decodable")]),
        (b"something else", 14, {"compressed": True}, []),
        (b"something else", 14, {"compressed": True}, []),
    ]


def mysql(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def mqtt(kind: int, payload: bytes) -> bytes:
    return bytes([kind, len(payload)]) + payload


def postgresql(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!I", len(payload) + 4) + payload


def http2(kind: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes([kind, 0]) + struct.pack("!I", stream) + payload


OTHERS = {
    "zeros": [bytes(size) for size in (1, 2, 3, 16, 1000)],
    "ones": [b"\x01" * size for size in (1, 2, 3, 16, 131, 1000)],
    "numbers, little endian": [
        struct.pack("<64I", *range(start, start + 64)) for start in (0, 1, 2, 129, 130)
    ],
    "numbers, big endian": [struct.pack("!64H", *range(start, start + 64)) for start in (1, 0x8100, 0x8205)],
    "one byte": [bytes([value]) for value in range(256)],
    "mysql": [
        mysql(1, b"\x05"),
        mysql(0, b"\x03SELECT 1"),
        mysql(0, b"\x0e"),
        mysql(1, b"\x01")
        + mysql(2, b"\x03def\x00\x00\x00\x011\x00\x0c\x3f\x00\x01\x00\x00\x00\x08\x81\x00\x00"),
        mysql(2, b"\x00\x00\x00\x02\x00\x00\x00"),
        mysql(0, b"\x03SELECT '" + b"x" * 120 + b"'"),
        mysql(1, b"\x00" * 129),
    ],
    "redis": [b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"$-1\r\n", b"+OK\r\n", b":1\r\n", b"-ERR\r\n", b"_\r\n"],
    "mqtt": [
        mqtt(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"),
        *(mqtt(0x82, struct.pack("!HH", n, 5) + b"topic\x00") for n in range(1, 40)),
        mqtt(0x82, struct.pack("!HH", 9, 121) + b"t" * 121 + b"\x01"),
        b"".join(mqtt(0x82, struct.pack("!HH", n, 3) + b"top\x00") for n in range(1, 60)),
        mqtt(0x90, b"\x00\x01\x00"),
        mqtt(0x30, b"\x00\x05topicpayload"),
        mqtt(0x40, b"\x00\x01"),
        b"\xc0\x00",
        b"\xd0\x00",
        b"\xe0\x00",
    ],
    "postgresql": [
        postgresql(b"Q", b"SELECT 1\0"),
        postgresql(b"A", b"\0\0\0\1a\0\0"),
        postgresql(b"B", b"\0\0\0\0\0\0\0\0"),
        postgresql(b"B", b"\0" * 66),
        postgresql(b"D", b"\0\1\0\0\0\1x"),
        postgresql(b"Z", b"I"),
    ],
    "amqp": [
        b"AMQP\0\0\x09\x01",
        b"\x01\0\0\0\0\0\x04\0\x0a\0\x1f\xce",
        b"\x02\0\x01\0\0\0\x0e" + bytes(14) + b"\xce",
    ],
    "dns": [struct.pack("!H", size) + bytes(range(size)) for size in (12, 29, 60, 125)],
    "http/2": [
        http2(4, 0, bytes(18)),
        http2(0, 1, b"data" * 30),
        http2(1, 1, b"\x82\x86\x84\x41"),
        http2(0, 3, bytes(258)),
    ],
    "grpc": [b"\0\0\0\0\x05hello", b"\1\0\0\0\x05hello"],
    "tls": [b"\x16\x03\x01\x00\x05hello", b"\x17\x03\x03\x00\x10" + bytes(16)],
    "kafka": [b"\0\0\0\x10\0\x12\0\0\0\0\0\1\0\x04test\0\0"],
    "mongodb": [struct.pack("<4I", size, 1, 0, 2013) + bytes(size - 16) for size in (129, 130, 0x8182)],
    "cassandra": [
        b"\x82\0\0\x08\0\0\0\x04\0\0\0\1",
        b"\x81\0\1\x07\0\0\0\x02ab",
        b"\x84\0\0\x01\x06\0\0\0\0",
    ],
    "ldap": [b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0", b"\x82\x05value"],
    "msgpack": [b"\x81\xa4name\xa4text", b"\x82\x01\x02\x03\x04", b"\x81\x05\xa3abc"],
    "cbor": [b"\x81\x65hello", b"\x82\x01\x02", b"\x82\x02\x01\x02", b"\x81\x01\x01"],
    "protobuf": [b"\x08\x96\x01", b"\x0a\x05hello", b"\x82\x01\x05hello", b"\x82\x01\x03abc"],
    "rtp": [b"\x80\x60\0\1" + bytes(20), b"\x81\xc8\0\x0c" + bytes(48), b"\x81\xc9\0\x07" + bytes(28)],
    "ssh": [b"SSH-2.0-x\r\n"],
    "http/1": [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"B" * 200,
        b"A\xc3\xa9 and B",
    ],
    "smtp": [b"220 host ESMTP\r\n", b"EHLO a\r\n", b"A1 LOGIN a b\r\n", b"BYE\r\n"],
    "rdp": [
        b"\x03\0\0\x0c\x02\xf0\x80\x04\1\0\1\0",
        b"\0\x05\1\2\3",
        b"\x80\x05\1\2\3",
        b"\x02\0\x01\0\0\0\0",
    ],
    "a kind, a length, a name": [b"\x01\x05hello", b"\x82\x05hello", b"\x02\x05hello", b"\x00\x05hello"],
}


@pytest.mark.parametrize("records", OTHERS.values(), ids=OTHERS)
def test_other_protocols_are_refused(records: list[bytes]) -> None:
    sent = b"".join(records)
    once, again, joined, turns = Talk(None), Talk(None), Talk(None), Talk(None)
    for record in records:
        once.server(record)
        for _ in range(20):
            again.server(record)
        joined.server(record * 20)
        turns.server(record).client(record)
    for talk in (once, again, joined, turns):
        out = talk.run()
        assert summaries(out) == []
    assert b"".join(payload for _, payload, _ in undecoded(once.run(), "read")) == sent


@pytest.mark.parametrize("size", [1, 2, 6, 7, 20, 100, 127, 300, 16384])
def test_random_bytes_are_refused(size: int) -> None:
    generator = random.Random(size)
    for _ in range(20_000 if size < 1000 else 1000):
        start = generator.randbytes(size)
        for masked in (False, True):
            assert is_websocket(start, masked=masked) is not True


@pytest.mark.parametrize("size", [2, 20, 100, 300, 16384])
def test_random_records_are_refused(size: int) -> None:
    generator = random.Random(size)
    talk = Talk(None)
    for _ in range(2000 if size < 1000 else 200):
        talk.server(generator.randbytes(size)).client(generator.randbytes(size))
    assert summaries(talk.run()) == []


def test_random_bytes_that_begin_like_a_frame_are_refused() -> None:
    """A header that fits a short frame, and random bytes in it."""
    generator = random.Random(0)
    for first in (0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xC2, 0x01, 0x02, 0x41, 0x42):
        for size in range(3, 126):
            for _ in range(20):
                content = generator.randbytes(size)
                assert is_websocket(bytes([first, size]) + content, masked=False) is not True
                start = bytes([first, 0x80 | size]) + KEY + content
                assert is_websocket(start, masked=True) is not True
