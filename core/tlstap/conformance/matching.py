"""Which traced connection is which of the driver's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tlstap.conformance.diagnosis import WAYS, join, other, stream_of, unreadable
from tlstap.conformance.scenarios import End
from tlstap.conformance.traced import Traced
from tlstap.records import Direction


@dataclass(slots=True)
class Matched:
    """The driver's ends and the traced connections, put together.

    `pairs` have exactly the same bytes; `unlike` belong together as it seems; `halves` are ends whose
    directions were seen as two connections; the rest has no partner.
    """

    pairs: list[tuple[End, Traced]] = field(default_factory=list)
    unlike: list[tuple[End, Traced]] = field(default_factory=list)
    halves: list[tuple[End, Traced, Traced]] = field(default_factory=list)
    unseen: list[End] = field(default_factory=list)
    extra: list[Traced] = field(default_factory=list)


def match(ends: Sequence[End], traced: Sequence[Traced]) -> Matched:
    """Put them together. Those that moved nothing are left out on both sides."""
    result = Matched()
    left = [one for one in traced if one.moved]
    for end in [end for end in ends if end.read.bytes or end.written.bytes]:
        found = next((one for one in left if all(_shows(one, way, end, way) for way in WAYS)), None)
        if found is None:
            result.unseen.append(end)
        else:
            left.remove(found)
            result.pairs.append((end, found))
    _take_halves(result, left)
    _take_unlike(result, left)
    result.extra = left
    return result


def repeats(traced: Traced, ends: Sequence[End]) -> bool:
    """Whether a connection only shows what an end moved, in one direction or both."""
    return any(
        all(not traced.pieces[way] or _shows(traced, way, end, way) for way in WAYS) for end in ends
    ) or any(len(traced.pieces[way]) and _shows(traced, way, end, way) for way in WAYS for end in ends)


def _shows(traced: Traced, way: Direction, end: End, of: Direction) -> bool:
    pieces = traced.pieces[way]
    stream = stream_of(end, of)
    # The cheap question first.
    if sum(piece.length for piece in pieces) != stream.bytes or unreadable(pieces):
        return False
    return stream.is_of(join(pieces))


def _take_halves(result: Matched, left: list[Traced]) -> None:
    for end in list(result.unseen):
        halves = [
            next((one for one in left if not one.pieces[other(way)] and _shows(one, way, end, way)), None)
            for way in WAYS
        ]
        if end.read.bytes and end.written.bytes and halves[0] and halves[1]:
            result.halves.append((end, halves[0], halves[1]))
            result.unseen.remove(end)
            left.remove(halves[0])
            left.remove(halves[1])


def _take_unlike(result: Matched, left: list[Traced]) -> None:
    """Those that have most in common first; for the rest, the order in which they came is as good as any."""
    ends = list(enumerate(result.unseen))
    scores = [
        (-_likeness(end, one), abs(number - place), number, place)
        for number, end in ends
        for place, one in enumerate(left)
    ]
    taken_ends: set[int] = set()
    taken: set[int] = set()
    for _, _, number, place in sorted(scores):
        if number not in taken_ends and place not in taken:
            taken_ends.add(number)
            taken.add(place)
            result.unlike.append((result.unseen[number], left[place]))
    result.unseen[:] = [end for number, end in ends if number not in taken_ends]
    left[:] = [one for place, one in enumerate(left) if place not in taken]


def _likeness(end: End, traced: Traced) -> int:
    score = 0
    for way in WAYS:
        stream, size = stream_of(end, way), sum(piece.length for piece in traced.pieces[way])
        if stream.bytes and _shows(traced, way, end, way):
            score += 8
        if size == stream.bytes:
            score += 2
        elif stream.bytes and size % stream.bytes == 0:
            score += 1
    return score + (traced.connection.role == end.role)
