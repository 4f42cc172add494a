"""One direction of an HTTP/1 connection: what is not understood yet, and the message that is being read."""

from __future__ import annotations

import enum

from tlstap.protocols.http.body import Body
from tlstap.protocols.http1.framing import Framing
from tlstap.protocols.http1.pairing import Pending
from tlstap.records import Direction, Message, MissingPart


class State(enum.Enum):
    HEAD = enum.auto()  # at the start of a message, or inside its head
    BODY = enum.auto()
    HOLD = enum.auto()  # behind a request for another protocol, until it is answered
    SEARCH = enum.auto()  # in unknown bytes
    SWITCHED = enum.auto()  # these bytes are of another protocol


class Half:
    """One direction. `buffer` are the bytes not yet understood, the first of them at `offset`."""

    __slots__ = (
        "answered",
        "body",
        "boundary",
        "buffer",
        "direction",
        "doubtful",
        "framing",
        "in_sync",
        "is_request",
        "line_seen",
        "lost",
        "lost_before",
        "message",
        "offset",
        "pending",
        "searched",
        "since_ns",
        "state",
    )

    def __init__(self, direction: Direction) -> None:
        self.direction: Direction = direction
        self.state = State.HEAD
        self.is_request: bool | None = None
        self.buffer = bytearray()
        self.offset = 0
        self.since_ns = 0
        self.searched = 0
        self.line_seen = False
        self.lost_before = 0
        # Since the last message: were bytes lost or not understood, and was that between two messages?
        self.in_sync = True
        self.lost: int | None = None
        self.boundary = False
        self.pending: Pending | None = None
        self.message: Message | None = None
        self.body: Body | None = None
        self.framing: Framing | None = None
        # May the announced body be absent?
        self.doubtful = False
        # Did a response come while the head of the request for it was still incomplete?
        self.answered = False

    @property
    def part(self) -> MissingPart:
        return "request body" if self.is_request else "response body"

    @property
    def in_doubt(self) -> bool:
        """Is it open whether the body that the head announced comes at all?

        It does not behind the response to HEAD, if the request was not seen, and perhaps not behind a
        request that wanted to be told first whether to send it, and was told.
        """
        if not self.doubtful:
            return False
        return not self.is_request or (self.pending is not None and self.pending.response_begun)

    def drop(self, size: int, now: int) -> None:
        """The first bytes of the buffer are dealt with; what is left came with the newest record."""
        del self.buffer[:size]
        self.offset += size
        self.since_ns = now
        self.searched = 0
        self.lost_before = 0

    def lose_sync(self, gap: int | None = None, *, boundary: bool = False) -> None:
        """From here on bytes are unknown, until a message's start is found.

        :param gap: how many bytes were lost, where that is why.
        :param boundary: the loss began between two messages.
        """
        self.state = State.SEARCH
        self.line_seen = self.answered = False
        self.searched = 0
        if self.in_sync:
            self.in_sync, self.boundary = False, boundary
        if gap is not None:
            self.lost = (self.lost or 0) + gap

    def resynced(self) -> None:
        """A head was read: this direction is understood again."""
        self.in_sync, self.boundary, self.lost = True, False, None
