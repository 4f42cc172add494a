"""permessage-deflate: the examples of RFC 7692, what can't be inflated, and what swells."""

from __future__ import annotations

import time
import tracemalloc
import zlib

import pytest
from tests.unit.protocols.websocket_talk import Talk, frame, messages, summaries, switch, undecoded

from tlstap.protocols.memory import Allowance, Pool
from tlstap.protocols.websocket.inflation import Deflate, Inflation, accepted
from tlstap.records import Missing, UnknownHeader


class Deflater:
    """Compresses messages as RFC 7692 has it."""

    def __init__(self, *, takeover: bool = True) -> None:
        self._takeover = takeover
        self._deflate = zlib.compressobj(wbits=-15)

    def __call__(self, payload: bytes) -> bytes:
        data = self._deflate.compress(payload) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        if not self._takeover:
            self._deflate = zlib.compressobj(wbits=-15)
        assert data.endswith(b"\x00\x00\xff\xff")
        return data[:-4]


EXAMPLES = {
    "7.2.3.1": "c1 07 f2 48 cd c9 c9 07 00",
    "7.2.3.1, fragmented": "41 03 f2 48 cd 80 04 c9 c9 07 00",
    "7.2.3.3, a block without compression": "c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00",
    "7.2.3.4, a last block": "c1 08 f3 48 cd c9 c9 07 00 00",
    "7.2.3.5, two blocks": "c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00",
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
@pytest.mark.parametrize("size", [1, 100])
def test_examples_of_rfc_7692(example: str, size: int) -> None:
    talk = Talk(switch("permessage-deflate")).split("read", bytes.fromhex(example) * 3, [size])
    assert summaries(talk.run()) == ["read text b'Hello' compressed=True"] * 3


def test_the_example_with_the_window_of_the_message_before() -> None:
    """Section 7.2.3.2."""
    talk = Talk(switch("permessage-deflate"))
    talk.server(bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00")).server(bytes.fromhex("c1 05 f2 00 11 00 00"))
    assert summaries(talk.run()) == ["read text b'Hello' compressed=True"] * 2


def test_compressed_and_plain_messages_between_one_another() -> None:
    deflate, other = Deflater(), Deflater()
    talk = Talk(switch("permessage-deflate; server_max_window_bits=8"))
    talk.server(frame(1, deflate(b"abcabcabc"), rsv1=True)).server(frame(1, b"plain"))
    talk.client(frame(2, other(b"xyzxyzxyz"), rsv1=True, key=b"1234"))
    first = deflate(b"abcabcabcabc")
    talk.server(frame(2, first[:2], rsv1=True, fin=False) + frame(9, b"p") + frame(0, first[2:]))
    talk.server(frame(1, deflate(b""), rsv1=True))
    assert summaries(talk.run()) == [
        "read text b'abcabcabc' compressed=True",
        "read text b'plain'",
        "write binary b'xyzxyzxyz' compressed=True",
        "read ping b'p'",
        "read binary b'abcabcabcabc' compressed=True",
        "read text b'' compressed=True",
    ]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, Deflate(possible=False)),
        ("", Deflate(possible=False)),
        ("x-webkit-deflate-frame", Deflate(possible=False)),
        ("permessage-deflate", Deflate()),
        ("foo; a=1, Permessage-Deflate ;server_no_context_takeover", Deflate(True, False, True)),
        (
            'permessage-deflate; client_max_window_bits="9"; client_no_context_takeover; '
            "server_max_window_bits=99999999999999999999",
            Deflate(True, True, False),
        ),
    ],
)
def test_what_the_server_accepted(field: str | None, expected: Deflate) -> None:
    assert accepted(switch(field).exchange) == expected


def test_what_the_server_accepted_may_be_unknown() -> None:
    exchange = switch().exchange
    assert exchange.response is not None
    exchange.response.unknown_headers.append(UnknownHeader(0, None, None))
    assert accepted(exchange) == Deflate()
    exchange.response = None
    assert accepted(exchange) == Deflate()
    assert accepted(None) == Deflate()


def test_two_fields_are_one_list() -> None:
    exchange = switch("foo").exchange
    assert exchange.response is not None
    exchange.response.headers.append(("sec-websocket-extensions", "permessage-deflate"))
    assert accepted(exchange) == Deflate()


BAD = b"\xff\xff\xff"


def test_what_is_not_deflated_is_given_out_as_it_is() -> None:
    deflate = Deflater(takeover=False)
    talk = Talk(switch("permessage-deflate"))
    talk.server(frame(1, deflate(b"one"), rsv1=True)).server(frame(1, BAD, rsv1=True))
    talk.server(frame(1, deflate(b"two"), rsv1=True))
    assert summaries(talk.run()) == [
        "read text b'one' compressed=True",
        f"read text {BAD!r} compressed=True [not decodable]",
        "read text b'two' compressed=True",
    ]


def test_a_message_that_refers_to_one_that_was_not_understood() -> None:
    deflate = Deflater()
    sent = [deflate(b"the same words"), deflate(b"the same words"), deflate(b"new")]
    talk = Talk(switch("permessage-deflate")).server(frame(1, BAD, rsv1=True))
    for payload in sent[1:]:
        talk.server(frame(1, payload, rsv1=True))
    assert summaries(talk.run()) == [
        f"read text {BAD!r} compressed=True [not decodable]",
        f"read text {sent[1]!r} compressed=True [not decodable]",
        "read text b'new' compressed=True",
    ]


def test_an_unfinished_compressed_message_is_given_out_as_far_as_it_came() -> None:
    sent = Deflater()(b"words and more words")
    out = Talk(switch("permessage-deflate")).server(frame(1, sent, rsv1=True)[:-4]).run()
    (message,) = messages(out)
    assert b"words and more words".startswith(message.payload) and len(message.payload) > 10
    assert message.size == len(message.payload)
    assert message.missing == [Missing("message", "unfinished")]


def test_without_memory_for_the_window_messages_stay_compressed() -> None:
    sent = Deflater()(b"text")
    talk = Talk(switch("permessage-deflate")).server(frame(1, sent, rsv1=True))
    assert summaries(talk.run(pool=Pool(total=1000))) == [
        f"read text {sent!r} compressed=True [not decodable]"
    ]


def test_the_window_is_kept_only_where_messages_may_refer_to_it() -> None:
    for takeover in (True, False):
        pool = Pool()
        inflation = Inflation(Allowance(pool), takeover=takeover)
        assert b"".join([*inflation.feed(Deflater()(b"abc")), *inflation.end()]) == b"abc"
        assert (pool.left < pool.total) == takeover
        inflation.forget()
        assert pool.left == pool.total


def test_the_parameters_of_the_right_side_are_used() -> None:
    """A sender that refers back though it said that it would not: that shows which side's word was used."""
    deflate = Deflater()
    one, two = deflate(b"the same words"), deflate(b"the same words")
    talk = Talk(switch("permessage-deflate; client_no_context_takeover"))
    for payload in (one, two):
        talk.client(frame(1, payload, rsv1=True, key=b"1234")).server(frame(1, payload, rsv1=True))
    assert summaries(talk.run()) == [
        "write text b'the same words' compressed=True",
        "read text b'the same words' compressed=True",
        f"write text {two!r} compressed=True [not decodable]",
        "read text b'the same words' compressed=True",
    ]


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("size", [16384, 1 << 20])
def test_a_bomb_takes_no_more_memory_than_the_limit(opcode: int, size: int) -> None:
    deflate = Deflater()
    bomb = frame(opcode, deflate(bytes(100 << 20)), rsv1=True)
    assert len(bomb) < 110_000
    talk = Talk(switch("permessage-deflate")).split("read", bomb, [size])
    talk.server(frame(1, deflate(b"after"), rsv1=True))
    tracemalloc.start()
    swollen, after = messages(talk.run(pool=Pool(body=2 << 20)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(swollen.payload), swollen.size) == (2 << 20, 100 << 20)
    assert swollen.missing == [Missing("message", "over the limit", 98 << 20)]
    assert after.payload == b"after"
    assert peak < 4 << 20


def _seconds(payload: bytes) -> float:
    talk = Talk(switch("permessage-deflate")).split("read", frame(2, payload, rsv1=True), [16384])
    best = 1e9
    for _ in range(3):
        begun = time.process_time()
        (message,) = messages(talk.run())
        best = min(best, time.process_time() - begun)
        assert message.direction == "read"
    return best


@pytest.mark.parametrize("unit", [b"\x03\x00", b"\x00\x00\x00\xff\xff"], ids=["last blocks", "empty blocks"])
def test_blocks_without_content_take_linear_time(unit: bytes) -> None:
    unit *= 1_000_000 // len(unit)
    assert _seconds(unit * 4) < 10 * _seconds(unit)


def test_undecoded_bytes_of_a_stream_say_which() -> None:
    out = Talk(switch(), stream_id=3).server(b"\xff\xff").run()
    assert undecoded(out, "read") == [(0, b"\xff\xff", 0)]
    assert [getattr(record, "stream_id", None) for record in out] == [3]
