"""What the reader of frames tells, and whom."""

from __future__ import annotations

import abc
from collections.abc import Container

from tlstap.protocols.http2.frames import FrameHeader


class FrameHandler(abc.ABC):
    """What a reader tells. All calls are in the order of the stream."""

    @abc.abstractmethod
    def preface(self) -> None:
        """The client's preface: this direction is the client's."""

    @abc.abstractmethod
    def accepts(self, header: FrameHeader) -> bool:
        """May such a frame come now? If not, the reader looks for frames anew."""

    @abc.abstractmethod
    def frame(self, header: FrameHeader, payload: bytes, since_ns: int) -> None:
        """A whole frame of a type that RFC 9113 knows, but DATA; its first byte came at `since_ns`."""

    @abc.abstractmethod
    def data(self, stream_id: int, payload: bytes, offset: int) -> None:
        """The next bytes of a DATA frame, without padding; where they stood in the direction's bytes."""

    @abc.abstractmethod
    def data_lost(self, stream_id: int, size: int) -> None:
        """Bytes of a DATA frame that were not captured."""

    @abc.abstractmethod
    def data_ended(self, stream_id: int, *, end_stream: bool) -> None:
        """A DATA frame is over."""

    @abc.abstractmethod
    def frame_lost(self, header: FrameHeader, gap: int | None) -> None:
        """A frame other than DATA can't be read: cut by a gap of that size, or (None) over the limit."""

    @abc.abstractmethod
    def sync_lost(self, gap: int | None) -> None:
        """Frames are missing: in a gap of that size, or (None) as the bytes are no frames."""

    @abc.abstractmethod
    def unknown(self, offset: int, payload: bytes, lost_before: int) -> None:
        """Bytes of which nobody knows what they are."""

    @property
    @abc.abstractmethod
    def streams(self) -> Container[int]:
        """Numbers of the streams that are open."""
