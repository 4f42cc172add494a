"""How much captured content decoders may hold: one pool for all connections, one allowance for each."""

from __future__ import annotations


class Pool:
    """Bytes that all decoders of a pipeline may hold together.

    :param total: bytes for all connections together.
    :param body: bytes of one message's decoded body.
    """

    __slots__ = ("body", "left", "total")

    def __init__(self, total: int = 256 << 20, body: int = 64 << 20) -> None:
        self.total = total
        self.body = body
        self.left = total


class Allowance:
    """What one connection's decoder holds of the pool that all decoders share, 256 MiB.

    Ask before you keep more than a few KiB. What is held when the decoder is gone is returned by itself.
    """

    __slots__ = ("_pool", "held")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.held = 0

    @property
    def body(self) -> int:
        """How many bytes of one body may be kept."""
        return self._pool.body

    def take(self, size: int) -> int:
        """Ask for `size` bytes; the answer is how many are granted, from 0 to `size`."""
        granted = min(size, self._pool.left)
        self._pool.left -= granted
        self.held += granted
        return granted

    def give_back(self, size: int) -> None:
        """Return bytes that `take` granted."""
        size = min(size, self.held)
        self.held -= size
        self._pool.left += size

    def release(self) -> None:
        """Return everything: the connection's decoder is gone."""
        self.give_back(self.held)
