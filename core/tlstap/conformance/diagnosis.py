"""Why the bytes that were seen are not those that were moved, in words for the plugin's author."""

from __future__ import annotations

from itertools import pairwise

from tlstap.conformance.scenarios import End, Stream
from tlstap.conformance.traced import Piece, Traced
from tlstap.records import Direction

WAYS: tuple[Direction, Direction] = ("read", "write")


def stream_of(end: End, direction: Direction) -> Stream:
    """What the driver says of one direction."""
    return end.read if direction == "read" else end.written


def other(direction: Direction) -> Direction:
    """The other direction."""
    return "write" if direction == "read" else "read"


def differences(end: End, traced: Traced) -> list[str]:
    """One line for each direction that differs: "expected ..., saw ...", and what that points at."""
    lines = []
    for way in WAYS:
        stream, pieces = stream_of(end, way), traced.pieces[way]
        if stream.is_of(join(pieces)) and not unreadable(pieces):
            continue
        lines.append(
            f"{way}: expected {stream.bytes} bytes, {_saw(stream, pieces)}: {explain(end, traced, way)}"
        )
    return lines


def explain(end: End, traced: Traced, way: Direction) -> str:
    """The most likely reason why a direction differs."""
    stream, pieces = stream_of(end, way), traced.pieces[way]
    if not pieces:
        return f"no {way} probe saw these calls"
    for function in traced.functions(way):
        own = [piece for piece in pieces if piece.function == function]
        rest = [piece for piece in pieces if piece.function != function]
        opposite = stream_of(end, other(way))
        if opposite.bytes and opposite.is_of(join(own)):
            did = "wrote" if way == "read" else "read"
            return f"{function} showed what the application {did}: its `direction` is wrong"
        if rest and stream.is_of(join(rest)):
            again = " (the same bytes again)" if join(own) == join(rest) else ""
            return f"what {function} showed{again} is too much, the rest is right: leave its probe out?"
    if stream.is_of(join(without_repetition(pieces))):
        return f"each call's bytes came twice by {_names(pieces)}"
    if lacking := unreadable(pieces):
        return (
            f"{lacking} bytes were not readable where {_names(pieces)} is said to have them: "
            f"is `buffer` the right argument?"
        )
    if traced.lost:
        return traced.lost[0]
    return _by_size(stream, pieces, way)


def _by_size(stream: Stream, pieces: list[Piece], way: Direction) -> str:
    data, names = join(pieces), _names(pieces)
    if len(data) == stream.bytes:
        return f"is `buffer` the right argument of {names}, is the order right?"
    if len(data) > stream.bytes:
        if stream.is_of(data[: stream.bytes]):
            return "it begins with the right ones; were calls that moved nothing counted (`success`)?"
        return f"is the length of {names} right: `moved`, `success`, `length`?"
    if all(piece.length == 1 for piece in pieces) and len(pieces) < stream.bytes:
        return f"each call of {names} counts as one byte: is its return value a status (`moved`: OutPointer)?"
    return f"calls of another {way} function are not seen, or the length of {names} is wrong (`moved`)"


def join(pieces: list[Piece]) -> bytes:
    """The captured bytes, one piece after another."""
    return b"".join(piece.payload for piece in pieces)


def unreadable(pieces: list[Piece]) -> int:
    """How many bytes were moved and could not be captured."""
    return sum(piece.length - len(piece.payload) for piece in pieces)


def without_repetition(pieces: list[Piece]) -> list[Piece]:
    """The pieces without those that repeat the one before."""
    return pieces[:1] + [after for before, after in pairwise(pieces) if after.payload != before.payload]


def _saw(stream: Stream, pieces: list[Piece]) -> str:
    if not pieces:
        return "saw none"
    size, names = sum(piece.length for piece in pieces), _names(pieces)
    if unreadable(pieces):
        return f"saw {size - unreadable(pieces)} of {size} by {names}"
    return f"saw {size} by {names}" if size != stream.bytes else f"saw as many others by {names}"


def _names(pieces: list[Piece]) -> str:
    return ", ".join(dict.fromkeys(piece.function for piece in pieces))
