"""What is in the bytes of an HTTP/2 connection, as hyperframe and hpack read them, apart from tlstap."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import brotli
from hpack import Decoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PushPromiseFrame,
    RstStreamFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Head = list[tuple[str, str]]
_CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "br": brotli.decompress}


@dataclass
class Half:
    """What one end sent on a stream: its heads (trailers are the last one), and what DATA frames carry."""

    heads: list[Head] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    def first(self, name: str) -> str | None:
        """A header of the last head that isn't trailers, or None."""
        head = next((head for head in reversed(self.heads) if head and head[0][0].startswith(":")), [])
        return next((value for header, value in head if header == name), None)

    @property
    def content(self) -> bytes:
        """The body without its content coding."""
        coding = self.first("content-encoding")
        return _CODINGS[coding](self.body) if coding and self.body else self.body


def frames(stream: bytes) -> Iterator[Frame]:
    """The frames; the bytes must end with a frame's end. The client's preface may be there."""
    rest = memoryview(stream.removeprefix(PREFACE))
    while rest:
        assert len(rest) >= 9
        frame, length = Frame.parse_frame_header(rest[:9])
        assert len(rest) >= 9 + length
        frame.parse_body(rest[9 : 9 + length])
        yield frame
        rest = rest[9 + length :]


def halves(stream: bytes) -> tuple[dict[int, Half], dict[int, Head]]:
    """By numbers of streams, in their order: what an end sent, and the requests that it promised."""
    found: dict[int, Half] = defaultdict(Half)
    promised: dict[int, Head] = {}
    decoder = Decoder(max_header_list_size=1 << 20)
    decoder.max_allowed_table_size = 1 << 20
    opened: HeadersFrame | PushPromiseFrame | None = None
    block = b""
    for frame in frames(stream):
        half = found[frame.stream_id] if frame.stream_id else Half()
        if isinstance(frame, DataFrame):
            half.body += frame.data
        elif isinstance(frame, RstStreamFrame):
            half.reset = frame.error_code
        elif isinstance(frame, HeadersFrame | PushPromiseFrame):
            opened, block = frame, frame.data
        elif isinstance(frame, ContinuationFrame):
            block += frame.data
        half.ended |= "END_STREAM" in frame.flags
        if opened is not None and "END_HEADERS" in frame.flags:
            head = [(str(name), str(value)) for name, value in decoder.decode(block)]
            if isinstance(opened, PushPromiseFrame):
                promised[opened.promised_stream_id] = head
            else:
                half.heads.append(head)
            opened = None
    return {number: found[number] for number in sorted(found)}, promised


def bodies(stream: bytes) -> list[bytes]:
    """What the DATA frames carry, by streams, in their order; streams without any are left out."""
    return [half.body for half in halves(stream)[0].values() if half.body]
