"""One message while its frames arrive: what is kept of it, and what it lacks in the end."""

from __future__ import annotations

import io
from typing import Literal

from tlstap.protocols.memory import Allowance
from tlstap.protocols.websocket.inflation import InflateError, Inflation
from tlstap.records import Missing


class Kept:
    """The first bytes of a content, as many as the limits allow. `size` counts all of them."""

    __slots__ = ("_buffer", "_held", "_memory", "cut", "size")

    def __init__(self, memory: Allowance) -> None:
        self._memory = memory
        # BytesIO gives out what it holds without making a copy.
        self._buffer = io.BytesIO()
        self._held = 0
        self.size = 0
        self.cut = 0

    def add(self, piece: bytes) -> None:
        size = len(piece)
        self.size += size
        granted = 0
        if not self.cut:
            granted = self._memory.take(max(0, min(size, self._memory.body - self._held)))
            self._held += granted
            self._buffer.write(piece if granted == size else piece[:granted])
        self.cut += size - granted

    def value(self) -> bytes:
        return self._buffer.getvalue()

    def release(self) -> None:
        """Nothing is kept any more."""
        self._memory.give_back(self._held)
        self._held = 0
        self._buffer = io.BytesIO()


class Message:
    """A message that is being read.

    A compressed one is kept as it was sent, too, until it is clear that it can be inflated.

    :param inflation: that of its direction, if the message is compressed.
    """

    __slots__ = (
        "_content",
        "_inflation",
        "_lost",
        "_mode",
        "_raw",
        "_skipped",
        "_unknown_loss",
        "missing",
        "type",
    )

    def __init__(self, type_: str, memory: Allowance, inflation: Inflation | None = None) -> None:
        self.type = type_
        self.missing: list[Missing] = []
        self._content = Kept(memory)
        self._raw = Kept(memory)
        self._inflation = inflation
        # raw: compressed, and not inflated; spoilt: inflated up to a gap.
        self._mode: Literal["plain", "inflate", "raw", "spoilt"] = "plain" if inflation is None else "inflate"
        self._lost = self._skipped = 0
        self._unknown_loss = False

    @property
    def compressed(self) -> bool:
        return self._inflation is not None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the message, unmasked."""
        match self._mode:
            case "plain":
                self._content.add(data)
            case "raw":
                self._raw.add(data)
            case "spoilt":
                self._skipped += len(data)
            case "inflate":
                self._raw.add(data)
                self._inflate(data)

    def _inflate(self, data: bytes | None) -> None:
        """Inflate the next bytes, or (None) the end."""
        assert self._inflation is not None
        try:
            for piece in self._inflation.end() if data is None else self._inflation.feed(data):
                self._content.add(piece)
        except InflateError:
            self._mode = "raw"
            self._content.release()

    def lose(self, size: int | None) -> None:
        """Bytes of the message were not captured; None if nobody knows how many."""
        if size is None:
            self._unknown_loss = True
        else:
            self._lost += size
        if self._mode == "inflate":
            assert self._inflation is not None
            self._inflation.forget()
            self._mode = "spoilt" if self._content.size else "raw"
            (self._raw if self._content.size else self._content).release()

    def end(self) -> None:
        """The message is complete, but for what was lost."""
        if self._mode == "inflate":
            self._inflate(None)

    def result(self) -> tuple[bytes, int, list[Missing]]:
        """The payload, the size of the whole, and what is missing. Nothing is kept from then on."""
        missing = self.missing
        content = self._raw if self._mode == "raw" else self._content
        if self._lost or self._unknown_loss:
            missing.append(Missing("message", "lost", None if self._unknown_loss else self._lost))
        if self._mode == "raw":
            missing.append(Missing("message", "not decodable"))
        elif self._skipped:
            missing.append(Missing("message", "not decodable", self._skipped))
        if content.cut:
            missing.append(Missing("message", "over the limit", content.cut))
        payload, size = content.value(), content.size
        if self._mode in ("plain", "raw"):
            size += self._lost
        self._content.release()
        self._raw.release()
        return payload, size, missing
