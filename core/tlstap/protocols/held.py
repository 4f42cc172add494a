"""Bytes that come in pieces, kept as far as the allowance goes."""

from __future__ import annotations

from tlstap.protocols.memory import Allowance

_BLOCK = 4096


class Held:
    """The beginning of some bytes; `data` is what is kept of them, at most `memory.body` bytes."""

    __slots__ = ("_granted", "_memory", "data", "size")

    def __init__(self, memory: Allowance) -> None:
        self._memory = memory
        self._granted = 0
        self.data = bytearray()
        self.size = 0
        """How many bytes there were, kept or not."""

    @property
    def whole(self) -> bool:
        """Is everything kept?"""
        return len(self.data) == self.size

    def add(self, piece: bytes | bytearray) -> None:
        """The next bytes. Behind some that are not kept nothing is."""
        whole, size = self.whole, len(piece)
        self.size += size
        if not whole:
            return
        kept = len(self.data)
        if kept + size > self._granted:
            most = min(max(kept + size, self._granted + _BLOCK), self._memory.body)
            self._granted += self._memory.take(max(0, most - self._granted))
        self.data += piece if kept + size <= self._granted else piece[: self._granted - kept]

    def skip(self, size: int) -> None:
        """The next bytes are not to be had."""
        self.size += size

    def clear(self) -> None:
        """Begin anew, and give back what was taken."""
        self._memory.give_back(self._granted)
        self._granted = self.size = 0
        self.data = bytearray()
