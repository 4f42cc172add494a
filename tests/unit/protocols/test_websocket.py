"""WebSocket: messages, fragments, control frames, closings, limits; the examples of RFC 6455."""

from __future__ import annotations

import tracemalloc

import pytest
from tests.unit.protocols.websocket_talk import KEY, Talk, frame, messages, summaries, switch, undecoded

from tlstap.convert import to_event
from tlstap.protocols.memory import Pool
from tlstap.records import Missing
from tlstap.schema import MessageEvent


def test_examples_of_rfc_6455() -> None:
    """Section 5.7, byte by byte as printed there."""
    talk = Talk(switch())
    talk.server(bytes.fromhex("81 05 48 65 6c 6c 6f"))
    talk.client(bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58"))
    talk.server(bytes.fromhex("01 03 48 65 6c")).server(bytes.fromhex("80 02 6c 6f"))
    talk.server(bytes.fromhex("89 05 48 65 6c 6c 6f"))
    talk.client(bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"))
    talk.server(bytes.fromhex("82 7E 01 00") + bytes(range(256)))
    talk.server(bytes.fromhex("82 7F 00 00 00 00 00 01 00 00") + bytes(range(256)) * 256)
    out = talk.run()
    assert summaries(out) == [
        "read text b'Hello'",
        "write text b'Hello'",
        "read text b'Hello'",
        "read ping b'Hello'",
        "write pong b'Hello'",
        f"read binary {bytes(range(256))!r}",
        f"read binary {bytes(range(256)) * 256!r}",
    ]
    assert [message.time_ns for message in messages(out)] == [1, 2, 4, 5, 6, 7, 8]
    assert undecoded(out, "read") == undecoded(out, "write") == []


def test_the_frames_of_this_test_are_those_of_the_rfc() -> None:
    assert frame(1, b"Hello", key=KEY) == bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert frame(2, bytes(256))[:4] == bytes.fromhex("82 7E 01 00")
    assert frame(2, bytes(65536))[:10] == bytes.fromhex("82 7F 00 00 00 00 00 01 00 00")
    assert frame(1, b"Hel", fin=False) == bytes.fromhex("01 03 48 65 6c")


def test_a_message_tells_where_it_belongs() -> None:
    led_to = switch()
    talk = Talk(led_to, stream_id=5).server(frame(1, b"a", fin=False)).client(frame(9, key=KEY))
    talk.server(frame(0, b"b"))
    ping, text = messages(talk.run())
    assert (ping.direction, ping.time_ns, text.direction, text.time_ns) == ("write", 2, "read", 3)
    for message in (ping, text):
        assert message.protocol == "websocket"
        assert message.exchange is led_to.exchange
        assert message.stream_id == 5
        assert message.connection is led_to.exchange.connection
    event = to_event(text, 7)
    assert isinstance(event, MessageEvent)
    assert (event.method, event.target, event.stream_id, event.body) == ("GET", "/chat", 5, "ab")


def test_control_frames_between_fragments_come_at_once() -> None:
    talk = Talk(switch())
    talk.server(frame(2, b"1", fin=False) + frame(9, b"p") + frame(0, b"2", fin=False) + frame(10))
    talk.server(frame(0, fin=False) + frame(0, b"3"))
    assert summaries(talk.run()) == ["read ping b'p'", "read pong b''", "read binary b'123'"]


def test_empty_messages() -> None:
    talk = Talk(switch()).server(frame(1)).client(frame(2, key=KEY)).server(frame(9) + frame(1, fin=False))
    talk.server(frame(0))
    assert summaries(talk.run()) == [
        "read text b''",
        "write binary b''",
        "read ping b''",
        "read text b''",
    ]


def test_text_that_is_not_utf8_is_shown_as_it_is() -> None:
    talk = Talk(switch()).server(frame(1, b"\xff\xfe") + frame(1, "héé".encode()[:2]))
    assert summaries(talk.run()) == ["read text b'\\xff\\xfe'", "read text b'h\\xc3'"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "read close b'' code=None reason=''"),
        (b"\x03\xe8", "read close b'' code=1000 reason=''"),
        (b"\x0f\xa0away", "read close b'away' code=4000 reason='away'"),
        # Not valid, but sent by real programs.
        (b"\x03\xed", "read close b'' code=1005 reason=''"),
        (b"\x07\xd0\xff", "read close b'\\xff' code=2000 reason='\ufffd'"),
        (b"\x03", "read close b'\\x03' code=None reason=''"),
    ],
)
def test_close(payload: bytes, expected: str) -> None:
    assert summaries(Talk(switch()).server(frame(8, payload)).run()) == [expected]


def test_behind_the_close_frames_of_both_nothing_is_a_message() -> None:
    talk = Talk(switch())
    talk.client(frame(8, b"\x03\xe8", key=KEY)).server(frame(1, b"late"))
    talk.server(frame(8, b"\x03\xe8") + frame(1, b"no")).client(frame(1, b"no", key=KEY)).server(b"more")
    out = talk.run()
    assert summaries(out) == [
        "write close b'' code=1000 reason=''",
        "read text b'late'",
        "read close b'' code=1000 reason=''",
    ]
    assert undecoded(out, "read") == [(10, frame(1, b"no"), 0), (14, b"more", 0)]
    assert undecoded(out, "write") == [(8, frame(1, b"no", key=KEY), 0)]


def test_a_message_that_the_closing_cuts_short() -> None:
    talk = Talk(switch()).client(frame(1, b"ab", key=KEY, fin=False)).server(frame(8))
    talk.client(frame(8, key=KEY) + b"\x81").server(b"x")
    out = talk.run()
    assert summaries(out) == [
        "read close b'' code=None reason=''",
        "write close b'' code=None reason=''",
        "write text b'ab' [unfinished]",
    ]
    assert undecoded(out, "write") == [(14, b"\x81", 0)]
    assert undecoded(out, "read") == [(2, b"x", 0)]


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize(
    ("sent", "expected", "rest"),
    [
        (frame(1, b"abc")[:4], "read text b'ab' [unfinished 1]", []),
        (frame(1, b"abc")[:2], "read text b'' [unfinished 3]", []),
        (frame(1, b"abc", fin=False), "read text b'abc' [unfinished]", []),
        (frame(1, b"abc", fin=False)[:4], "read text b'ab' [unfinished]", []),
        (frame(1, b"abc", fin=False) + frame(0, b"de")[:3], "read text b'abcd' [unfinished 1]", []),
        (frame(1, b"abc", fin=False) + b"\x80", "read text b'abc' [unfinished]", [(5, b"\x80", 0)]),
        (frame(9, b"abc")[:4], "read ping b'ab' [unfinished 1]", []),
        (frame(8, b"\x03\xe8abc")[:6], "read close b'ab' code=1000 reason='ab' [unfinished 1]", []),
        (frame(8, b"\x03\xe8abc")[:3], "read close b'\\x03' code=None reason='' [unfinished 4]", []),
    ],
)
def test_unfinished(sent: bytes, expected: str, rest: list[object], closed: bool) -> None:
    out = Talk(switch()).server(sent).run(closed=closed)
    assert summaries(out) == [expected]
    assert undecoded(out, "read") == rest


def test_an_unfinished_header_is_not_decoded() -> None:
    out = Talk(switch()).client(frame(1, b"abc", key=KEY)[:4]).run()
    assert summaries(out) == []
    assert undecoded(out, "write") == [(0, frame(1, b"abc", key=KEY)[:4], 0)]


INVALID = {
    "an opcode that is reserved": b"\x83\x01a",
    "a bit that is reserved": b"\x91\x01a",
    "compressed, but that was not agreed upon": frame(1, b"a", rsv1=True),
    "masked, by a server": frame(1, b"a", key=KEY),
    "a length in more bytes than it needs": b"\x81\x7e\x00\x01a",
    "a length that is negative": b"\x81\x7f" + b"\xff" * 8,
    "a control frame in fragments": frame(9, b"a", fin=False),
    "a control frame that is too long": frame(9, bytes(126)),
    "a continuation of nothing": frame(0, b"a"),
}


@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID)
def test_invalid_frames_are_not_decoded(invalid: bytes) -> None:
    talk = Talk(switch()).server(frame(1, b"before") + invalid + b"\x81\x01x").server(frame(1, b"behind"))
    out = talk.run()
    assert summaries(out) == ["read text b'before'", "read text b'behind'"]
    assert undecoded(out, "read") == [(8, invalid + b"\x81\x01x", 0)]


def test_a_message_inside_another_is_not_valid() -> None:
    talk = Talk(switch()).server(frame(1, b"one", fin=False)).server(frame(2, b"two"))
    talk.server(frame(1, b"three"))
    out = talk.run()
    assert summaries(out) == ["read text b'one' [unfinished]", "read text b'three'"]
    assert undecoded(out, "read") == [(5, frame(2, b"two"), 0)]


def test_an_invalid_frame_whose_header_came_in_two_records() -> None:
    talk = Talk(switch()).server(frame(1, b"a") + b"\x81").server(b"\x80zz").server(frame(1, b"b"))
    out = talk.run()
    assert summaries(out) == ["read text b'a'", "read text b'b'"]
    assert undecoded(out, "read") == [(3, b"\x81\x80zz", 0)]


def test_what_is_kept_of_a_message_is_limited() -> None:
    pool = Pool(body=10)
    talk = Talk(switch()).server(frame(1, b"0123456", fin=False)).server(frame(0, b"789abc") + frame(1, b"x"))
    one, two = messages(talk.run(pool=pool))
    assert (one.payload, one.size, one.missing) == (
        b"0123456789",
        13,
        [Missing("message", "over the limit", 3)],
    )
    assert (two.payload, two.size, two.missing) == (b"x", 1, [])


def test_the_limit_for_all_connections_holds() -> None:
    pool = Pool(total=4)
    talk = Talk(switch()).server(frame(1, b"abc", fin=False)).client(frame(2, b"defg", key=KEY))
    talk.server(frame(0, b"h") + frame(1, b"ijklm"))
    assert summaries(talk.run(pool=pool)) == [
        "write binary b'd' of 4 [over the limit 3]",
        "read text b'abch'",
        "read text b'ijkl' of 5 [over the limit 1]",
    ]


def test_a_large_message_takes_no_more_memory_than_the_limit() -> None:
    talk = Talk(switch()).split("write", frame(2, bytes(64 << 20), key=KEY), [16384])
    tracemalloc.start()
    (message,) = messages(talk.run(pool=Pool(body=8 << 20)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(message.payload), message.size) == (8 << 20, 64 << 20)
    assert message.missing == [Missing("message", "over the limit", 56 << 20)]
    assert peak < 11 << 20


def test_border_of_records_is_not_the_border_of_messages() -> None:
    sent = b"".join(frame(1, b"%d" % number * (number % 7)) for number in range(40))
    sent += frame(2, bytes(range(200))) + frame(1, b"a", fin=False) + frame(9, b"p") + frame(0, b"b")
    expected = summaries(Talk(switch()).server(sent).run())
    assert len(expected) == 43
    for size in (1, 2, 3, 5, 7, 64):
        assert summaries(Talk(switch()).split("read", sent, [size]).run()) == expected
