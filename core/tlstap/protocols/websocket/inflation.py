"""permessage-deflate: what was accepted, and the inflating of one direction's messages in bounded steps.

wsproto's PerMessageDeflate is not used. It inflates whatever it is given in one step, forgets what it was
given where that can't be inflated, and goes silent behind a block that is marked as the last one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tlstap.protocols.memory import Allowance
from tlstap.records import Exchange

PIECE = 64 * 1024
_SLICE = 4 * 1024
_TAIL = b"\x00\x00\xff\xff"
# The window and zlib's own state.
_MEMORY = 48 * 1024


class InflateError(Exception):
    """The bytes are not deflated, refer to messages that were not seen, or memory was not granted."""


@dataclass(frozen=True, slots=True)
class Deflate:
    """Does a WebSocket use permessage-deflate, and does each message of a side stand for itself?

    The sizes of the windows don't matter here: the largest window undoes what any was used for.
    """

    possible: bool = True
    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False


def accepted(exchange: Exchange | None) -> Deflate:
    """What the server's response says. Where not all of it is known, messages may be compressed."""
    response = exchange.response if exchange is not None else None
    if response is None:
        return Deflate()
    fields = [value for name, value in response.headers if name.lower() == "sec-websocket-extensions"]
    for extension in ",".join(fields).split(","):
        name, *parameters = (word.strip().lower() for word in extension.split(";"))
        if name == "permessage-deflate":
            return Deflate(
                True, "client_no_context_takeover" in parameters, "server_no_context_takeover" in parameters
            )
    return Deflate(possible=bool(response.unknown_headers))


class Inflation:
    """Inflates the messages of one direction, one after the other.

    Where the history is not known (a WebSocket found in the middle, a loss) it begins with none: zlib then
    refuses a message that refers to what was before, and what it inflates is right.

    :param takeover: messages may refer to those before them.
    """

    def __init__(self, memory: Allowance, *, takeover: bool) -> None:
        self._memory = memory
        self._takeover = takeover
        self._inflate: zlib._Decompress | None = None
        self._broken_off = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The inflated form of a message's next bytes, in pieces of at most 64 KiB; raises InflateError."""
        for at in range(0, len(data), _SLICE):
            yield from self._slice(data[at : at + _SLICE])

    def end(self) -> Iterator[bytes]:
        """The message is over: what is left of it."""
        yield from self._slice(_TAIL)
        if self._broken_off or not self._takeover:
            self.forget()

    def forget(self) -> None:
        """What comes next can't build on what was."""
        if self._inflate is not None:
            self._inflate = None
            self._memory.give_back(_MEMORY)
        self._broken_off = False

    def _slice(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            self._begin()
        while True:
            assert self._inflate is not None
            try:
                out = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                self.forget()
                raise InflateError(str(error)) from None
            if out:
                yield out
            if self._inflate.eof:
                # A last block ends what compressors keep, but not always the message.
                data, self._inflate = self._inflate.unused_data, zlib.decompressobj(-zlib.MAX_WBITS)
                self._broken_off = True
                if not data:
                    return
                continue
            data = self._inflate.unconsumed_tail
            if not data and len(out) < PIECE:
                return

    def _begin(self) -> None:
        granted = self._memory.take(_MEMORY)
        if granted < _MEMORY:
            self._memory.give_back(granted)
            raise InflateError("no memory is left")
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
