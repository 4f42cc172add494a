"""HTTP/2 written down: frames made by hyperframe, header blocks by hpack, moved as a traced connection."""

from __future__ import annotations

from collections.abc import Sequence

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PushPromiseFrame,
    SettingsFrame,
)
from tests.unit.protocols.conversation import Conversation, run

from tlstap.pipeline import Limits
from tlstap.protocols.body_formats import BodyFormat
from tlstap.protocols.builtin import tlstap_protocols
from tlstap.protocols.http2.frames import PREFACE
from tlstap.records import Direction, Record

Headers = Sequence[tuple[str, str]]


def get(path: str = "/", *more: tuple[str, str], method: str = "GET") -> Headers:
    """The headers of a request."""
    return [(":method", method), (":scheme", "https"), (":authority", "example.org"), (":path", path), *more]


def ok(*more: tuple[str, str], status: str = "200") -> Headers:
    """The headers of a response."""
    return [(":status", status), *more]


class End:
    """One end's encoder."""

    def __init__(self, talk: Http2Talk, direction: Direction) -> None:
        self.talk = talk
        self.direction: Direction = direction
        self.encoder = Encoder()

    def send(self, *frames: Frame | bytes, cut: int = 0) -> End:
        """Frames, in one call of the application.

        :param cut: so many bytes at the end are not captured.
        """
        payload = b"".join(f if isinstance(f, bytes) else f.serialize() for f in frames)
        self.talk.talk.move(self.direction, payload[: len(payload) - cut], cut=cut)
        return self

    def lose(self, *frames: Frame) -> End:
        """Frames of which nothing is captured."""
        self.talk.talk.lose(self.direction, sum(len(frame.serialize()) for frame in frames))
        return self

    def headers(
        self, stream: int, headers: Headers, *, end: bool = False, fragments: int = 1, huffman: bool = True
    ) -> bytes:
        """A header block, as HEADERS and, for more than one fragment, CONTINUATION frames."""
        block = self.encoder.encode(headers, huffman=huffman)
        size = -(-len(block) // fragments)
        parts = [block[at : at + size] for at in range(0, len(block), size)] or [b""]
        frames: list[Frame] = [HeadersFrame(stream, parts[0], flags=["END_STREAM"] if end else [])]
        frames += [ContinuationFrame(stream, part) for part in parts[1:]]
        frames[-1].flags.add("END_HEADERS")
        return b"".join(frame.serialize() for frame in frames)

    def promise(self, stream: int, promised: int, headers: Headers) -> bytes:
        """A push promise."""
        frame = PushPromiseFrame(stream, promised, self.encoder.encode(headers), flags=["END_HEADERS"])
        return frame.serialize()


def data(stream: int, payload: bytes = b"", *, end: bool = False, pad: int | None = None) -> DataFrame:
    """A DATA frame."""
    flags = ["END_STREAM"] if end else []
    if pad is None:
        return DataFrame(stream, payload, flags=flags)
    return DataFrame(stream, payload, pad_length=pad, flags=[*flags, "PADDED"])


class Http2Talk:
    """A client's connection: `client` writes, `server` is what it reads."""

    def __init__(self, *, greet: bool = True, from_start: bool = True) -> None:
        self.talk = Conversation(from_start=from_start)
        self.client = End(self, "write")
        self.server = End(self, "read")
        if greet:
            self.client.send(PREFACE, SettingsFrame(settings={2: 0, 4: 65535}))
            self.server.send(SettingsFrame(settings={3: 100}), SettingsFrame(flags=["ACK"]))
            self.client.send(SettingsFrame(flags=["ACK"]))

    def exchange(self, stream: int, path: str = "/", body: bytes = b"", *more: tuple[str, str]) -> Http2Talk:
        """A whole exchange: GET, 200."""
        self.client.send(self.client.headers(stream, get(path, *more), end=True))
        self.server.send(self.server.headers(stream, ok(*more)), data(stream, body, end=True))
        return self

    def run(
        self,
        *,
        formats: Sequence[BodyFormat] = (),
        limits: Limits = Limits(),  # noqa: B008 - immutable
    ) -> list[Record]:
        """What the decoders make of it."""
        return run(self.talk.records, protocols=[*tlstap_protocols()], formats=formats, limits=limits)
