"""A header block, put together from HEADERS or PUSH_PROMISE and CONTINUATION frames."""

from __future__ import annotations

from dataclasses import dataclass, field

from tlstap.protocols.http2.headers import MAX_BLOCK

MAX_FRAGMENTS = 1024
"""Frames of which a header block may consist."""


@dataclass(slots=True)
class HeaderBlock:
    """A header block that is being received. `promised` is the stream that a PUSH_PROMISE announces."""

    stream_id: int
    end_stream: bool
    since_ns: int
    promised: int | None = None
    fragments: list[bytes] = field(default_factory=list)
    size: int = 0
    too_large: bool = False

    def add(self, fragment: bytes) -> None:
        """The next part of the block."""
        self.size += len(fragment)
        if self.size > MAX_BLOCK or len(self.fragments) >= MAX_FRAGMENTS:
            self.too_large = True
            self.fragments.clear()
        if not self.too_large:
            self.fragments.append(fragment)
