"""How much work compressed messages may cause: one can stand for a thousand times its traffic."""

from __future__ import annotations

MOST = 64 << 20
"""What may be spent at once."""
PER_BYTE = 3200
"""What a transferred byte adds. Without compression it would cost at most about a hundred."""


class Credit:
    """Credit for decoding compressed messages by schemas, of all connections together.

    The unit is a byte of JSON in memory.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST

    def earn(self, transferred: int) -> bool:
        """A message came that had so many bytes before it was decompressed; may it be decoded?"""
        self._left = min(MOST, self._left + transferred * PER_BYTE)
        return self._left > 0

    def spend(self, cost: int) -> None:
        """It was decoded. What it cost is known only now, so there may be debts."""
        self._left -= cost
