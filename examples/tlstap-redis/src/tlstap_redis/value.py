"""One value of RESP: a command, a reply or a push, with all that is in it."""

from __future__ import annotations

import tlstap
from tlstap_redis.commands import CONFIRMATIONS, is_known

MAX_LENGTHS = 1000
"""Parts of which the lengths are kept."""
MAX_NAME = 64


class Value:
    """A value while it arrives. Its content is that of its parts, one behind the other.

    Parts are what holds no others: strings, numbers, nulls. `lengths` are theirs in bytes, None for a null;
    `separator` stands between them. What follows a gap in a string is not kept: `lost` says that there
    was one. `missing` is what lacks beyond that.
    """

    __slots__ = ("content", "kind", "lengths", "lost", "missing", "parts", "separator")

    def __init__(self, kind: str, memory: tlstap.Allowance) -> None:
        self.kind = kind
        self.content = tlstap.Held(memory)
        self.lengths: list[int | None] = []
        self.parts = 0
        self.lost = False
        self.missing: list[tlstap.Missing] = []
        self.separator = b"\n"

    def begin_part(self, length: int | None) -> None:
        """A part begins; its bytes are added to the content. None: a null."""
        if self.parts:
            self.content.add(self.separator)
        self.parts += 1
        if self.parts <= MAX_LENGTHS:
            self.lengths.append(length)

    def add_part(self, text: bytes) -> None:
        """A part that is known as a whole."""
        self.begin_part(len(text))
        self.content.add(text)

    def lose(self, size: int) -> None:
        """Bytes of the part were not captured."""
        self.lost = self.lost or (size > 0 and self.content.whole)
        self.content.skip(size)

    def word(self, number: int) -> bytes:
        """The part of that number, from 0; b"" if there is none, or it is long, or was not kept."""
        if number >= len(self.lengths):
            return b""
        at = sum((length or 0) + len(self.separator) for length in self.lengths[:number])
        length = self.lengths[number]
        if length is None or length > MAX_NAME or at + length > len(self.content.data):
            return b""
        return bytes(self.content.data[at : at + length])

    @property
    def name(self) -> bytes:
        """What a command is called, in capitals."""
        if self.kind == "inline":
            return b"".join(bytes(self.content.data[:MAX_NAME]).split(None, 1)[:1]).upper()
        return self.word(0).upper()


def is_command(value: Value, client: bool | None) -> bool:
    """Is it a command?

    :param client: whether the client sent it; None if that is not known.
    """
    if client is not None or value.kind != "array":
        return client is True
    return is_known(value.name) and value.word(0) not in CONFIRMATIONS
