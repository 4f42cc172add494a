"""What the records of one call of a decoder have in common, and where they go."""

from __future__ import annotations

from tlstap.protocols.base import Channel
from tlstap.protocols.memory import Allowance
from tlstap.records import DecodedRecord


class Context:
    """Time and process of the bytes that are being decoded, and the records that they lead to."""

    __slots__ = ("channel", "given", "memory", "now", "out", "process")

    def __init__(self, channel: Channel, memory: Allowance) -> None:
        self.channel = channel
        self.memory = memory
        self.process = channel.connection.process
        self.now = 0
        self.out: list[DecodedRecord] = []
        self.given = 0
        """About how many bytes of memory the messages in `out` take that were found in bodies."""

    def begin(self, now: int) -> list[DecodedRecord]:
        """A call begins: a new list for its records."""
        self.now = now
        self.out = []
        self.given = 0
        return self.out
