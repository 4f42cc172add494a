"""Which protocol an unknown channel speaks: asks the protocols where a message may begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tlstap.protocols.base import Channel, Protocol, StreamBytes
from tlstap.records import Direction

RAISED = (Exception, SystemExit)
"""What a plugin may raise without ending the trace: anything but what ends Python itself."""

MAX_HELD = 16 * 1024
"""Bytes of one direction that may wait for a protocol to make up its mind."""
MAX_TRIES = 8
"""Records in a row of one direction at which the protocols are asked, from a turn or a gap on."""


class _Start:
    """One direction: the bytes that the protocols are asked about, and those which still may be it."""

    __slots__ = ("candidates", "data", "gap", "tries")

    def __init__(self) -> None:
        self.data = bytearray()
        self.candidates: list[Protocol] = []
        self.tries = 0
        self.gap = 0


class Recognition:
    """Recognition of one channel.

    The protocols are asked at the first bytes of a direction, behind a gap, when the direction begins to
    speak after the other one, and at a few records after that. So a connection found in the middle is
    recognised at its next message, and bulk data of no known protocol cost next to nothing.
    """

    def __init__(
        self,
        channel: Channel,
        protocols: Sequence[Protocol],
        failed: Callable[[Protocol, BaseException], None],
    ) -> None:
        """:param failed: told when a protocol raised; it is not asked again here."""
        self._channel = channel
        self._protocols = list(protocols)
        self._failed = failed
        self._starts: dict[Direction, _Start] = {"read": _Start(), "write": _Start()}
        self._held: list[StreamBytes] = []
        self._turn: Direction | None = None

    def feed(self, data: StreamBytes) -> tuple[Protocol | None, list[StreamBytes]]:
        """Take the next bytes of a direction.

        :return: the protocol, if it is known now, and all bytes for its decoder; or None and those bytes of
            which nobody will know what they are. Either in order of arrival.
        """
        direction = data.direction
        start = self._starts[direction]
        released: list[StreamBytes] = []
        if data.lost_before:
            start.gap += data.lost_before
            start.tries = 0
            released = self._release(direction)
        if not data.payload:
            return None, released
        if start.gap != data.lost_before:
            data = replace(data, lost_before=start.gap)
        start.gap = 0
        if self._turn != direction:
            self._turn = direction
            start.tries = 0
        if not start.data:
            if start.tries >= MAX_TRIES or not self._protocols:
                return None, [*released, data]
            start.tries += 1
            start.candidates = list(self._protocols)
        start.data += data.payload[: MAX_HELD - len(start.data)]
        self._held.append(data)
        found = self._ask(direction, start)
        if found is not None:
            held, self._held = self._held, []
            return found, [*released, *held]
        if not start.candidates or len(start.data) >= MAX_HELD:
            released += self._release(direction)
        return None, released

    def finish(self) -> list[StreamBytes]:
        """The bytes that still wait."""
        held, self._held = self._held, []
        return held

    def _ask(self, direction: Direction, start: _Start) -> Protocol | None:
        for protocol in tuple(start.candidates):
            try:
                verdict = protocol.recognise(self._channel, direction, bytes(start.data))
                if verdict is not None and not isinstance(verdict, bool):
                    raise TypeError(f"recognise() returned {verdict!r:.60}, which is no bool")
            except RAISED as error:
                self._failed(protocol, error)
                self._protocols.remove(protocol)
                verdict = False
            if verdict:
                return protocol
            if verdict is not None:
                start.candidates.remove(protocol)
        return None

    def _release(self, direction: Direction) -> list[StreamBytes]:
        """Give up on what waits of a direction."""
        self._starts[direction].data.clear()
        released = [data for data in self._held if data.direction == direction]
        self._held = [data for data in self._held if data.direction != direction]
        return released
