"""Where the body of an HTTP/1 message ends: by length, by chunks, or where the connection does."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import h11

from tlstap.protocols.http.charset import readable

# A gap in a chunked body is bridged by feeding that many bytes to the reader at a time.
_BRIDGE = bytes(64 * 1024)
_LONGEST_BRIDGE = 64 << 20


@dataclass(slots=True)
class Taken:
    """What framing made of bytes: the body's pieces, and how many bytes it took.

    `ended`: the body is over, `broken`: the bytes behind those taken are no valid framing.
    """

    pieces: list[bytes]
    size: int
    ended: bool = False
    broken: bool = False


class Framing(abc.ABC):
    """Cuts a body out of the stream."""

    until_close = False
    trailers: Sequence[tuple[str, str]] = ()

    def remaining(self) -> int | None:
        """Bytes still to come, where that is known."""
        return None

    @abc.abstractmethod
    def take(self, data: bytes) -> Taken:
        """Take the body's part of the next bytes."""

    @abc.abstractmethod
    def gap(self, size: int) -> int | None:
        """How many bytes of a gap belong to the body; None if nobody can tell where it ends."""


class Length(Framing):
    """A body of known length, at least one byte."""

    def __init__(self, length: int) -> None:
        self._left = length

    def remaining(self) -> int | None:
        return self._left

    def take(self, data: bytes) -> Taken:
        size = min(len(data), self._left)
        self._left -= size
        return Taken([data if size == len(data) else data[:size]], size, ended=not self._left)

    def gap(self, size: int) -> int | None:
        inside = min(size, self._left)
        self._left -= inside
        return inside


class UntilClose(Framing):
    """A body that ends with the connection."""

    until_close = True

    def take(self, data: bytes) -> Taken:
        return Taken([data], len(data))

    def gap(self, size: int) -> int | None:
        return size


class Chunked(Framing):
    """A chunked body, read by h11 (extensions are dropped, trailers kept)."""

    def __init__(self, reader: h11.Connection) -> None:
        self._reader = reader

    def take(self, data: bytes) -> Taken:
        reader = self._reader
        pieces: list[bytes] = []
        try:
            reader.receive_data(data)
            while True:
                event = reader.next_event()
                if isinstance(event, h11.Data):
                    pieces.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    raw = event.headers.raw_items()
                    self.trailers = [(readable(name), readable(value)) for name, value in raw]
                    return Taken(pieces, self._taken(data), ended=True)
                else:
                    return Taken(pieces, len(data))
        except h11.RemoteProtocolError:
            return Taken(pieces, self._taken(data), broken=True)

    def _taken(self, data: bytes) -> int:
        return max(0, len(data) - len(self._reader.trailing_data[0]))

    def gap(self, size: int) -> int | None:
        """Only a gap inside one chunk can be bridged: filler is fed, and must all come back as body."""
        if size > _LONGEST_BRIDGE:
            return None
        left = size
        while left:
            filler = _BRIDGE[:left]
            taken = self.take(filler)
            if taken.ended or taken.broken or sum(map(len, taken.pieces)) != len(filler):
                return None
            left -= len(filler)
        return size


def framing(head_length: int | None, chunks: h11.Connection | None, is_request: bool) -> Framing | None:
    """The framing that a head announces; None if no body follows. (RFC 9112, 6.3, from number 4 on.)"""
    if chunks is not None:
        return Chunked(chunks)
    if head_length is not None:
        return Length(head_length) if head_length else None
    return None if is_request else UntilClose()
