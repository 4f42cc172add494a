"""What the two directions of a WebSocket have in common."""

from __future__ import annotations

from tlstap.protocols.base import Channel
from tlstap.protocols.http.context import Context
from tlstap.protocols.memory import Allowance
from tlstap.protocols.websocket.inflation import Inflation, accepted
from tlstap.records import Direction, Exchange


class Shared:
    """A WebSocket: how it was agreed upon, who is its client, and how far it came.

    `client` is the direction of the client's bytes; None until a frame tells.
    """

    def __init__(self, channel: Channel, memory: Allowance) -> None:
        self.context = Context(channel, memory)
        self.exchange: Exchange | None = channel.switch.exchange if channel.switch is not None else None
        self.client = channel.client
        self.deflate = accepted(self.exchange)
        self.broken = False
        """What followed frames was none."""
        self._closed: set[Direction] = set()

    def masked(self, direction: Direction) -> bool | None:
        """Are the frames of a direction masked?"""
        return None if self.client is None else self.client == direction

    def tell_client(self, direction: Direction, *, masked: bool) -> None:
        """A frame of this direction was seen."""
        other: Direction = "write" if direction == "read" else "read"
        self.client = direction if masked else other

    def inflation(self, direction: Direction) -> Inflation:
        """What inflates the messages of a direction."""
        client, deflate = self.client == direction, self.deflate
        alone = deflate.client_no_context_takeover if client else deflate.server_no_context_takeover
        return Inflation(self.context.memory, takeover=not alone)

    def closed(self, direction: Direction) -> None:
        """This direction had its close frame."""
        self._closed.add(direction)

    @property
    def over(self) -> bool:
        """Both directions had their close frames."""
        return len(self._closed) == 2
