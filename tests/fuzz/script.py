"""What a fuzzer's input means: the records of a traced connection, in a form that survives mutation.

The first byte holds flags of the connection. Each move of data behind it begins with SEPARATOR, a byte of
flags, and one byte for each of those of CODED that are set. Inserting and removing bytes inside a move leaves
the others as they are.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from tests.unit.protocols.conversation import Conversation
from tlstap.records import Direction

SEPARATOR = b"\xfe\xed"
MAX_BYTES = 1 << 18
"""Bytes that all moves of a script have together, at most."""
MAX_DRIPS = 300
"""Bytes of a move that are given one by one, at most."""


class Talk(enum.IntFlag):
    """How the connection is."""

    FROM_START = 1
    CLOSED = 2
    NOT_OPENED = 4
    ALPN = 8  # as the target has it
    ROLE = 16
    SERVER = 32
    BARE = 64  # without the target's prelude
    TIGHT = 128  # the pipeline may hold next to nothing


class How(enum.IntFlag):
    """How a move comes."""

    READ = 1
    GAP = 2  # before it
    CUT = 4  # its tail is not captured
    DRIP = 8  # byte by byte
    FRAMED = 16  # the target makes a valid unit of it
    REPEATED = 32
    BACK = 64  # to a place that the stream has passed


CODED = (How.GAP, How.CUT, How.REPEATED, How.BACK)
"""Flags with which a byte comes that says how much."""


@dataclass(frozen=True)
class Move:
    """Bytes of one direction. `gap` are lost before them, `cut` behind them; they come `back` too late."""

    direction: Direction
    payload: bytes
    gap: int = 0
    cut: int = 0
    back: int = 0
    drip: bool = False


@dataclass(frozen=True)
class Script:
    """A connection."""

    talk: Talk
    moves: tuple[Move, ...]

    @property
    def bytes(self) -> int:
        return sum(len(move.payload) for move in self.moves)

    @property
    def whole(self) -> bool:
        """Is nothing lost?"""
        return bool(self.talk & Talk.FROM_START) and not any(
            move.gap or move.cut or move.back for move in self.moves
        )


@dataclass(frozen=True)
class Units:
    """Make what a move carries from the bytes that the input has for it: `framed` if it is to be."""

    framed: Callable[[bytes], bytes] = bytes
    plain: Callable[[bytes], bytes] = bytes


def amount(code: int) -> int:
    """The size of a gap: small ones exactly, others up to 16 GiB."""
    return (1 + (code & 15)) << (2 * (code >> 4))


def parse(data: bytes, units: Units, prelude: tuple[Move, ...]) -> Script:
    """The script that a fuzzer's input stands for. Every input is one."""
    talk = Talk(data[0] if data else 0)
    left = MAX_BYTES
    moves: list[Move] = [] if talk & Talk.BARE else list(prelude)
    for chunk in data[1:].split(SEPARATOR)[1:]:
        if not chunk:
            continue
        how, rest = How(chunk[0] & 127), chunk[1:]
        codes = {}
        for flag in CODED:
            if how & flag:
                codes[flag], rest = rest[:1] or b"\0", rest[1:]
        payload = units.framed(rest) if how & How.FRAMED else units.plain(rest)
        payload = (payload * (1 + codes[How.REPEATED][0]) if how & How.REPEATED else payload)[:left]
        left -= len(payload)
        moves.append(
            Move(
                "read" if how & How.READ else "write",
                payload,
                amount(codes[How.GAP][0]) if how & How.GAP else 0,
                amount(codes[How.CUT][0]) if how & How.CUT else 0,
                codes[How.BACK][0] if how & How.BACK else 0,
                bool(how & How.DRIP) and len(payload) <= MAX_DRIPS,
            )
        )
    return Script(talk, tuple(moves))


def conversation(script: Script, alpn: str | None) -> Conversation:
    """The trace records of a script."""
    talk = Conversation(
        from_start=bool(script.talk & Talk.FROM_START), opened=not script.talk & Talk.NOT_OPENED
    )
    if script.talk & Talk.ALPN:
        talk.connection.alpn = alpn
    if script.talk & Talk.ROLE:
        talk.connection.role = "server" if script.talk & Talk.SERVER else "client"
    for move in script.moves:
        if move.gap:
            talk.lose(move.direction, move.gap)
        talk.offsets[move.direction] = max(0, talk.offsets[move.direction] - move.back)
        if move.drip:
            for byte in move.payload[:-1]:
                talk.move(move.direction, bytes((byte,)))
            talk.move(move.direction, move.payload[-1:], cut=move.cut)
        else:
            talk.move(move.direction, move.payload, cut=move.cut)
    return talk.close() if script.talk & Talk.CLOSED else talk


def line(how: How, payload: bytes, *codes: int) -> bytes:
    """A move as an input has it, for those who write a corpus. `codes` are those that `how` announces."""
    assert len(codes) == sum(bool(how & flag) for flag in CODED)
    return SEPARATOR + bytes((how, *codes)) + payload
