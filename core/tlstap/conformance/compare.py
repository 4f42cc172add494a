"""Compares what the driver says with what was traced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tlstap.conformance.diagnosis import differences
from tlstap.conformance.matching import Matched, match, repeats
from tlstap.conformance.report import Check, failed, passed
from tlstap.conformance.scenarios import End
from tlstap.conformance.traced import Traced

_SHOWN = 3
"""So many differences of one kind are told, and how many there are more."""

_USES_HANDLES_AGAIN = {
    "reuse": "a handle that comes again is a new connection: is there a BirthProbe or a FreeProbe?",
    "reset": "a handle that is reset is a new connection: is there a BirthProbe with `handle`?",
}


@dataclass(frozen=True, slots=True)
class Features:
    """What the declaration's probes, as far as they were placed, tell besides the bytes."""

    births: bool = True
    frees: bool = True
    handshakes: bool = True
    roles: bool = True


def compare(scenario: str, ends: Sequence[End], traced: Sequence[Traced], features: Features) -> list[Check]:
    """The checks of one scenario: one that says what was right, or all that failed."""
    if scenario in _USES_HANDLES_AGAIN and _seen(traced) < _count(ends):
        # All else that differs comes of that.
        return _connections(scenario, ends, traced, f": {_USES_HANDLES_AGAIN[scenario]}")
    matched = match(ends, traced)
    failures = [
        *_connections(scenario, ends, traced),
        *_bytes(scenario, ends, matched),
        *_order(scenario, matched),
    ]
    words = ["every byte once"]
    pairs = [*matched.pairs, *matched.unlike]
    if features.roles:
        failures += _roles(scenario, pairs)
        words.append("roles")
    if features.births:
        failures += _births(scenario, pairs)
        words.append("seen from the start")
    if features.handshakes:
        failures += _handshakes(scenario, pairs)
        words.append("handshakes")
    if features.frees:
        failures += _closes(scenario, matched)
        words.append("ends")
    if scenario == "reuse" and not failures:
        words.append(_reused(ends))
    if failures:
        return failures
    moved = sum(end.read.bytes + end.written.bytes for end in ends)
    return [passed(scenario, f"{_count(ends)} connections, {moved} bytes: {', '.join(words)}")]


def _count(ends: Sequence[End]) -> int:
    return sum(1 for end in ends if end.read.bytes or end.written.bytes)


def _seen(traced: Sequence[Traced]) -> int:
    return sum(1 for one in traced if one.moved)


def _connections(scenario: str, ends: Sequence[End], traced: Sequence[Traced], why: str = "") -> list[Check]:
    expected, seen = _count(ends), _seen(traced)
    if expected == seen:
        return []
    return [failed(f"{scenario}, connections", f"expected {expected}, saw {seen or 'none'}{why}")]


def _bytes(scenario: str, ends: Sequence[End], matched: Matched) -> list[Check]:
    lines = [
        f"the {end.role}'s {line}" for end, traced in matched.unlike for line in differences(end, traced)
    ]
    for _, first, second in matched.halves:
        lines.append(
            f"expected one connection, saw its reads and its writes as two: is `handle` the same of "
            f"{', '.join(first.functions('read'))} and {', '.join(second.functions('write'))} (`identify`)?"
        )
    for traced in matched.extra:
        names = ", ".join(traced.functions("read", "write"))
        if repeats(traced, ends):
            lines.append(
                f"expected every byte once, saw the same bytes again on another connection by {names}: its "
                f"handle is another one than that of the function which it calls or which calls it"
            )
        else:
            lines.append(
                f"expected nothing more, saw a connection of which the driver knows nothing, by {names}"
            )
    for end in matched.unseen:
        lines.append(
            f"expected a connection that read {end.read.bytes} and wrote {end.written.bytes} bytes as "
            f"{end.role}, saw none"
        )
    return _told(f"{scenario}, bytes", lines)


def _order(scenario: str, matched: Matched) -> list[Check]:
    """With both directions the wrong way round each end looks like the other; but nobody reads what is only
    written later."""
    if scenario != "exchange":
        return []
    for end, traced in matched.pairs:
        for peer, peers in matched.pairs:
            if end is peer or end.written != peer.read or not end.written.bytes:
                continue
            written, read = traced.pieces["write"][0], peers.pieces["read"][0]
            if read.ended_ns < written.began_ns:
                return [
                    failed(
                        f"{scenario}, direction",
                        f"expected bytes to be written before they are read, saw {read.function} read what "
                        f"{written.function} wrote later: their directions are the wrong way round",
                    )
                ]
    return []


def _roles(scenario: str, pairs: list[tuple[End, Traced]]) -> list[Check]:
    wrong = Counter(
        (end.role, traced.connection.role or "none")
        for end, traced in pairs
        if traced.connection.role != end.role
    )
    lines = [
        f"expected {role}, saw {seen} ({count} of {len(pairs)})" for (role, seen), count in wrong.items()
    ]
    return _told(f"{scenario}, role", lines)


def _births(scenario: str, pairs: list[tuple[End, Traced]]) -> list[Check]:
    late = sum(1 for _, traced in pairs if not traced.from_start)
    if not late:
        return []
    text = f"expected connections to be seen from their birth, saw {late} of {len(pairs)} only later"
    return [failed(f"{scenario}, open", text)]


def _handshakes(scenario: str, pairs: list[tuple[End, Traced]]) -> list[Check]:
    wrong = [traced.handshakes for _, traced in pairs if traced.handshakes != [True]]
    if not wrong:
        return []
    shown = " and ".join("one that succeeded" if ok else "one that failed" for ok in wrong[0]) or "none"
    count = f"{len(wrong)} of {len(pairs)}"
    text = f"expected one that succeeded on each connection, saw {shown} ({count}): `success`?"
    return [failed(f"{scenario}, handshake", text)]


def _closes(scenario: str, matched: Matched) -> list[Check]:
    lines = []
    for end, traced in matched.pairs:
        if len(traced.closed) != 1:
            lines.append(f"expected one end of each connection, saw {len(traced.closed)}")
            continue
        [closed] = traced.closed
        if (closed.read_bytes, closed.written_bytes) != (end.read.bytes, end.written.bytes):
            lines.append(
                f"expected {end.read.bytes} bytes read and {end.written.bytes} written at the end, saw "
                f"{closed.read_bytes} and {closed.written_bytes}"
            )
    if scenario == "close" and not lines and matched.pairs:
        last = max(piece.place for _, one in matched.pairs for way in one.pieces.values() for piece in way)
        early = sum(1 for _, one in matched.pairs if one.closed_at < last)
        if early != 2:
            lines.append(
                f"expected one connection's two ends to end before the other's, saw {early or 'none'}: "
                f"does the free probe's function end the connection?"
            )
    return _told(f"{scenario}, close", lines)


def _reused(ends: Sequence[End]) -> str:
    handles = Counter(end.handle for end in ends if end.handle is not None)
    again = sum(count - 1 for count in handles.values())
    return f"{again} handles came again" if again else "but no handle came again, so that was not tried"


def _told(name: str, lines: list[str]) -> list[Check]:
    """Different lines, a bounded number of them."""
    different = Counter(lines)
    checks = [
        failed(name, line if count == 1 else f"{line} ({count} times)")
        for line, count in list(different.items())[:_SHOWN]
    ]
    if len(different) > _SHOWN:
        checks.append(failed(name, f"and {len(different) - _SHOWN} more"))
    return checks
