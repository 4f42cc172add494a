"""Content codings, and what is kept of a body: right bytes, honest gaps, bounded memory and time."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.protocols.conversation import channel

from tlstap.protocols.http.body import Body
from tlstap.protocols.http.content import PIECE, ContentDecoder, ContentError, codings
from tlstap.protocols.http.context import Context
from tlstap.protocols.memory import Allowance, Pool
from tlstap.records import Exchange, Message, Missing

MIB = 1 << 20


def deflate_raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "gzip of two members": ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:])),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", deflate_raw),
    "br": ("br", lambda data: brotli.compress(data, quality=5)),
    "zstd": ("zstd", zstandard.compress),
    "zstd of two frames": ("zstd", lambda data: zstandard.compress(data[:7]) + zstandard.compress(data[7:])),
    "stacked": ("gzip, br", lambda data: brotli.compress(gzip.compress(data), quality=5)),
}


def body_of(message: Message, pool: Pool) -> Body:
    """A response's body, of which the pipeline keeps what the pool allows."""
    context = Context(channel(), Allowance(pool))
    exchange = Exchange(context.channel.connection, context.process, "HTTP/1.1", response=message)
    return Body(context, exchange, message, "read")


class Collected:
    """A body, its message and its memory."""

    def __init__(self, encoding: str = "", *, limit: int = 64 * MIB, total: int = 256 * MIB) -> None:
        self.message = Message(False, status=200)
        if encoding:
            self.message.headers = [("Content-Encoding", encoding)]
        self.pool = Pool(total, limit)
        self.body = body_of(self.message, self.pool)

    def feed(self, data: bytes, step: int = 16384) -> Collected:
        for at in range(0, len(data), step):
            self.body.feed(data[at : at + step])
        return self

    def end(self, *, unfinished: bool = False) -> list[Missing]:
        return self.body.end("response body", unfinished=unfinished)

    @property
    def kept(self) -> bytes:
        return bytes(self.message.body)


@pytest.mark.parametrize("coder", CODERS)
@settings(deadline=None)
@given(data=st.binary(max_size=2000), step=st.integers(1, 500))
def test_every_coding_in_any_pieces(coder: str, data: bytes, step: int) -> None:
    encoding, encode = CODERS[coder]
    wire = encode(data)
    collected = Collected(encoding).feed(wire, step)
    assert collected.end() == []
    assert collected.kept == data
    assert (collected.message.body_bytes, collected.message.body_wire_bytes) == (len(data), len(wire))


@pytest.mark.parametrize("coder", CODERS)
def test_large_body(coder: str) -> None:
    encoding, encode = CODERS[coder]
    data = b"".join(b"line %d of a large text\n" % number for number in range(200_000))
    collected = Collected(encoding).feed(encode(data))
    assert collected.end() == [] and collected.kept == data


def test_names_of_codings() -> None:
    headers = [("content-encoding", "GZIP , identity"), ("X", "br"), ("Content-Encoding", "br")]
    assert codings(headers) == ["gzip", "br"]


def test_unknown_coding_is_left_as_it_is() -> None:
    collected = Collected("gzip, aes128gcm").feed(b"opaque")
    assert collected.end() == [Missing("response body", "not decodable")]
    assert collected.kept == b"opaque"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_plain_body_that_claims_to_be_coded(encoding: str) -> None:
    plain = b"!!! certainly not compressed, and said to be so !!!" * 4
    collected = Collected(encoding).feed(plain, 10)
    assert collected.end() == [Missing("response body", "not decodable")]
    assert collected.kept == plain


def test_damage_in_the_middle_keeps_what_came_before() -> None:
    data = bytes(range(256)) * 4000
    wire = bytearray(gzip.compress(data, 0))
    wire[500_000:500_400] = b"\xff" * 400
    collected = Collected("gzip").feed(bytes(wire))
    [missing] = collected.end()
    assert missing.reason == "not decodable" and missing.bytes is not None and 0 < missing.bytes < len(wire)
    assert 0 < len(collected.kept) < len(data)


def test_coded_body_that_ends_early() -> None:
    wire = gzip.compress(b"some text that is long enough")
    collected = Collected("gzip").feed(wire[:-9])
    assert collected.end() == [Missing("response body", "not decodable")]
    assert Collected("gzip").end() == []


def test_gap_ends_decoding_but_not_the_count() -> None:
    wire = gzip.compress(bytes(range(256)) * 400, 0)
    collected = Collected("gzip").feed(wire[:50_000])
    before = collected.kept
    collected.body.gap(1000)
    collected.feed(wire[51_000:])
    assert collected.end() == [
        Missing("response body", "lost", 1000),
        Missing("response body", "not decodable", len(wire) - 51_000),
    ]
    assert collected.kept == before and len(before) > 40_000
    assert collected.message.body_wire_bytes == len(wire) - 1000


def test_limit_on_one_body() -> None:
    collected = Collected(limit=10).feed(b"0123456789abc", 4)
    assert collected.kept == b"0123456789"
    assert collected.message.body_bytes == 13
    assert collected.end() == [Missing("response body", "over the limit", 3)]


def test_limit_on_all_bodies_leaves_no_holes() -> None:
    """Once a byte did not fit, none behind it is kept, though there may be room again."""
    collected = Collected(total=5).feed(b"01234567")
    collected.pool.left += 100
    collected.feed(b"89")
    assert collected.kept == b"01234"
    assert collected.end() == [Missing("response body", "over the limit", 5)]


BOMBS = {
    "gzip": lambda: gzip.compress(bytes(256 * MIB)),
    "br": lambda: brotli.compress(bytes(256 * MIB), quality=5),
    "zstd": lambda: zstandard.compress(bytes(256 * MIB)),
    "gzip, gzip": lambda: gzip.compress(gzip.compress(bytes(256 * MIB))),
}


@pytest.mark.parametrize("encoding", BOMBS)
def test_bombs_are_defused(encoding: str) -> None:
    bomb = BOMBS[encoding]()
    collected = Collected(encoding, limit=MIB)
    before = time.process_time()
    collected.feed(bomb, len(bomb))
    assert time.process_time() - before < 2
    assert len(collected.kept) == MIB
    most = max(MIB, 1100 * len(bomb)) + PIECE
    assert collected.message.body_bytes <= most
    [missing] = collected.end()
    assert missing.reason == "over the limit"


@pytest.mark.parametrize("encoding", BOMBS)
def test_pieces_of_a_bomb_are_small(encoding: str) -> None:
    pieces = ContentDecoder(codings([("content-encoding", encoding)])).decode(BOMBS[encoding]())
    for _ in range(50):
        assert len(next(pieces)) <= 2 * PIECE


def test_many_decoders_at_once_are_bounded() -> None:
    """Their windows count: those that don't fit keep the body as it is on the wire."""
    pool = Pool(total=9 * MIB)
    messages = [Message(False, headers=[("content-encoding", "br")]) for _ in range(3)]
    bodies = [body_of(message, pool) for message in messages]
    wire = brotli.compress(b"text" * 100)
    for body in bodies:
        body.feed(wire)
    reasons = [[gap.reason for gap in body.end("response body", unfinished=False)] for body in bodies]
    assert reasons == [[], [], ["not decodable"]]
    assert bytes(messages[0].body) == b"text" * 100 and bytes(messages[2].body) == wire
    assert pool.left == pool.total - sum(body.held for body in bodies)


def test_too_many_codings() -> None:
    with pytest.raises(ContentError, match="5 stacked codings"):
        ContentDecoder(["gzip"] * 5)


@settings(deadline=None)
@given(
    st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, deflate"]), st.binary(max_size=500)
)
def test_arbitrary_bytes(encoding: str, data: bytes) -> None:
    collected = Collected(encoding, limit=1000).feed(data, 7)
    collected.end()
    assert collected.message.body_wire_bytes == len(data)
    assert len(collected.kept) <= 1000
    assert collected.pool.left == collected.pool.total - collected.body.held
