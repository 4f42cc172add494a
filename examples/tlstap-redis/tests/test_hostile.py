"""Anything may come: nothing is raised, no more is held than may be, and the work is linear."""

from __future__ import annotations

import random
import sys
from types import FrameType
from typing import Any

import pytest
from tlstap_redis import Redis

from tlstap import Undecoded
from tlstap.testing import Conversation, Limits, messages

GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
PIECES = (
    *(bytes((byte,)) for byte in b"*$+-:_#,(!=%~>|\r\n\0a1"),
    b"\r\n",
    b"*1\r\n",
    b"*99999999\r\n",
    b"$-1\r\n",
    b"$999999999\r\n",
    b"$3\r\nabc\r\n",
    b"|1\r\n",
    b"%0\r\n",
    b">3\r\n$7\r\nmessage\r\n",
    b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
    b"+OK\r\n",
    b"*1\r\n$9\r\nSUBSCRIBE\r\n",
    b"*1\r\n$11\r\nUNSUBSCRIBE\r\n",
    b"CLIENT REPLY OFF\r\n",
    GET,
)
TIGHT = Limits(body=50, memory=6000)


def arbitrary(seed: int) -> Conversation:
    """A conversation that begins well."""
    chance = random.Random(seed)
    talk = Conversation(from_start=chance.random() < 0.5).write(GET)
    for _ in range(chance.randrange(60)):
        direction = chance.choice(("read", "write"))
        payload = b"".join(chance.choices(PIECES, k=chance.randrange(1, 8)))
        talk.move(direction, payload, cut=chance.choice((0, 0, 0, 5)))
        if chance.random() < 0.1:
            talk.lose(direction, chance.choice((1, 10, 10**9)))
    return talk.close()


@pytest.mark.parametrize("limits", [Limits(), TIGHT])
def test_anything_is_survived(limits: Limits) -> None:
    for seed in range(500):
        for message in messages(arbitrary(seed).decode([Redis()], limits=limits)):
            assert len(message.payload) <= limits.body
            assert message.size >= len(message.payload)


def test_no_byte_is_shown_twice() -> None:
    for seed in range(200):
        ends = {"read": 0, "write": 0}
        for record in arbitrary(seed).decode([Redis()]):
            if isinstance(record, Undecoded):
                assert record.offset >= ends[record.direction]
                ends[record.direction] = record.offset + len(record.payload)


def steps(direction: str, piece: bytes, times: int, size: int) -> int:
    """Calls of functions, Python's and others, that it takes to decode a piece over and over."""
    talk = Conversation().write(GET)
    talk.in_pieces("read" if direction == "read" else "write", piece * times, size)
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        talk.decode([Redis()], limits=TIGHT)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("direction", ["read", "write"])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_work_is_linear(direction: str, size: int) -> None:
    for piece in PIECES:
        once, twice = (steps(direction, piece, times, size) for times in (300, 600))
        # Squared, it would be four times as much.
        assert twice <= 2.4 * once + 500, piece


def test_deep_nesting() -> None:
    talk = Conversation().write(GET).read(b"*1\r\n" * 10_000 + b":1\r\n")
    assert [message.type for message in messages(talk.decode([Redis()]))] == ["command", "reply"]


def test_a_line_without_an_end() -> None:
    talk = Conversation().write(GET).in_pieces("read", b"+" + b"a" * (1 << 20), 1000)
    kept = b"".join(r.payload for r in talk.decode([Redis()]) if isinstance(r, Undecoded))
    assert kept == b"+" + b"a" * (1 << 20)
