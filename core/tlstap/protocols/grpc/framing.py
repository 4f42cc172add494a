"""The messages of a gRPC body: each has a byte of flags and its length before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tlstap.protocols.held import Held
from tlstap.protocols.memory import Allowance
from tlstap.records import Missing

COMPRESSED = 0x01
TRAILERS = 0x80
"""gRPC-Web's last message is the trailers."""
_PREFIX = 5


@dataclass(slots=True)
class Frame:
    """A message as it was transferred: the first bytes of `size`, and what lacks."""

    flags: int
    payload: bytes
    size: int
    missing: list[Missing]


class Framing:
    """Cuts a body into messages. What is beyond the allowance is left out of a message, and said."""

    def __init__(self, memory: Allowance, flags: int) -> None:
        """:param flags: those that may be set; others mean that this is no gRPC."""
        self._allowed = flags
        self._prefix = b""
        self._flags = 0
        self._left = 0
        self._lost = 0
        self._payload = Held(memory)
        self.ended = False
        """Nothing more can be read: nobody knows where the next message begins."""

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """The messages that end in the next bytes."""
        at = 0
        while at < len(piece) and not self.ended:
            missing = _PREFIX - len(self._prefix)
            if missing:
                self._prefix += piece[at : at + missing]
                at += missing
                if len(self._prefix) == _PREFIX:
                    yield from self._begin()
                continue
            size = min(self._left, len(piece) - at)
            self._payload.add(piece[at : at + size] if size < len(piece) else piece)
            at += size
            self._left -= size
            if not self._left:
                yield self._end()

    def _begin(self) -> Iterator[Frame]:
        self._flags = self._prefix[0]
        self._left = int.from_bytes(self._prefix[1:], "big")
        if self._flags & ~self._allowed:
            self._flags = self._left = 0
            yield from self.give_up("not decodable", None)
        elif not self._left:
            yield self._end()

    def gap(self, size: int | None) -> Iterator[Frame]:
        """Bytes are missing. A message that has lost some is given out at its end, which is still known."""
        if self.ended or size == 0:
            return
        inside = len(self._prefix) == _PREFIX
        if not inside or size is None or size > self._left:
            yield from self.give_up("lost", None if size is None else size + self._lost)
            return
        self._lost += size
        self._left -= size
        self._payload.skip(size)
        if not self._left:
            yield self._end()

    def finish(self, *, partial: bool = False) -> Iterator[Frame]:
        """The body is over; a message that it cuts off.

        :param partial: there was something more, which is less than a byte.
        """
        if (self._prefix or partial) and not self.ended:
            whole = len(self._prefix) == _PREFIX
            yield from self.give_up("unfinished", self._left if whole else None)
        self.ended = True
        self._payload.clear()

    def _end(self) -> Frame:
        """The message is over, whatever of it was there."""
        missing: list[Missing] = []
        payload = self._payload
        if self._lost:
            missing.append(Missing("message", "lost", self._lost))
        elif not payload.whole:
            missing.append(Missing("message", "over the limit", payload.size - len(payload.data)))
        return self._out(missing)

    def give_up(
        self, reason: Literal["lost", "unfinished", "not decodable"], size: int | None
    ) -> Iterator[Frame]:
        """Nothing can be read from here on; the message in which that came about."""
        if self.ended:
            return
        self.ended = True
        missing = [Missing("message", reason, size)]
        if self._lost and reason != "lost":
            missing.append(Missing("message", "lost", self._lost))
        yield self._out(missing)

    def _out(self, missing: list[Missing]) -> Frame:
        payload = self._payload
        frame = Frame(self._flags, bytes(payload.data), payload.size + self._left, missing)
        payload.clear()
        self._prefix, self._flags, self._left, self._lost = b"", 0, 0, 0
        return frame
