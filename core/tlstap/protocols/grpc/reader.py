"""Reads a gRPC body: its messages, decompressed and decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from tlstap.protocols.body_formats import BodyReader, Part
from tlstap.protocols.grpc.content import content_details, measure
from tlstap.protocols.grpc.credit import Credit
from tlstap.protocols.grpc.framing import COMPRESSED, TRAILERS, Frame, Framing
from tlstap.protocols.grpc.schema import Method, Schema
from tlstap.protocols.grpc.web_text import WebText
from tlstap.protocols.held import Held
from tlstap.protocols.http.charset import readable
from tlstap.protocols.http.content import ContentDecoder, ContentError
from tlstap.protocols.http.media_type import header
from tlstap.protocols.memory import Allowance
from tlstap.records import Exchange, Message, Missing

MAX_TRAILERS = 64 * 1024
"""Bytes of trailers that are read."""


class GrpcReader(BodyReader):
    """Gives out a message when its last byte arrives.

    `type` is "request", "response" or, in gRPC-Web, "trailers"; `payload` the message, decompressed. What
    lacks something is given out with what came of it, and not decoded. `details`: "service" and "method" if
    the request is known, "compressed" if it was, and what content_details() finds; "trailers" as pairs.
    """

    def __init__(
        self,
        exchange: Exchange,
        message: Message,
        memory: Allowance,
        *,
        web: bool,
        text: bool,
        protobuf: bool,
        schema: Schema | None,
        credit: Credit,
    ) -> None:
        """:param text: the body is base64.
        :param protobuf: the messages are protocol buffers, not JSON or the like.
        """
        self._exchange = exchange
        self._memory = memory
        self._is_request = message.is_request
        self._encoding = header(message.headers, "grpc-encoding").strip().lower()
        self._framing = Framing(memory, COMPRESSED | TRAILERS if web else COMPRESSED)
        self._text = WebText() if text else None
        self._protobuf = protobuf
        self._schema = schema
        self._credit = credit
        self._names: tuple[str, str] | None = None
        self._method: Method | None = None

    def feed(self, piece: bytes) -> Iterator[Part]:
        framing = self._framing
        if self._text is not None:
            piece = self._text.decode(piece)
        yield from self._parts(framing.feed(piece))
        if self._text is not None and self._text.broken:
            yield from self._parts(framing.give_up("not decodable", None))

    def gap(self, size: int | None) -> Iterator[Part]:
        # How many bytes that many characters of base64 are depends on their padding.
        yield from self._parts(self._framing.gap(size if self._text is None else None))

    def finish(self, *, unfinished: bool) -> Iterator[Part]:
        partial = self._text is not None and self._text.unfinished
        yield from self._parts(self._framing.finish(partial=partial))

    def _parts(self, frames: Iterable[Frame]) -> Iterator[Part]:
        for frame in frames:
            yield self._trailers(frame) if frame.flags & TRAILERS else self._message(frame)

    def _trailers(self, frame: Frame) -> Part:
        payload, size, missing = self._decompressed(frame)
        pairs, cut = _header_block(payload)
        details: dict[str, JsonValue] = {"trailers": pairs}
        if cut:
            details["trailers_cut"] = True
        return Part("trailers", payload, size, details, missing)

    def _message(self, frame: Frame) -> Part:
        payload, size, missing = self._decompressed(frame)
        details: dict[str, JsonValue] = {}
        self._find_method()
        if self._names is not None:
            details["service"], details["method"] = self._names
        if frame.flags & COMPRESSED:
            details["compressed"] = True
        if self._protobuf and not missing:
            details |= content_details(
                payload, self._method, self._credit, is_request=self._is_request, wire_size=frame.size
            )
        kind = "request" if self._is_request else "response"
        return Part(kind, payload, size, details, missing, measure(details)[0])

    def _find_method(self) -> None:
        """What the request asks for; it may become known only when the response is read."""
        request = self._exchange.request
        if self._names is None and request is not None and request.target:
            *_, service, method = ["", *request.target.partition("?")[0].split("/")]
            if service and method:
                self._names = service, method
                self._method = self._schema.method(service, method) if self._schema is not None else None

    def _decompressed(self, frame: Frame) -> tuple[bytes, int, list[Missing]]:
        """The message, the first bytes of its size, and what lacks."""
        missing = frame.missing
        if not (frame.flags & COMPRESSED and frame.payload):
            return frame.payload, frame.size, missing
        out, raw = Held(self._memory), frame.payload
        missing = missing or [Missing("message", "not decodable")]
        try:
            decoder = ContentDecoder([self._encoding])
            for piece in decoder.decode(raw):
                out.add(piece)
                if not out.whole:
                    missing = [Missing("message", "over the limit")]
                    break
            if out.whole and decoder.finished:
                missing = frame.missing
        except ContentError:
            if not out.size:
                return raw, frame.size, missing
        finally:
            payload, size = bytes(out.data), out.size
            out.clear()
        return payload, size, missing


def _header_block(block: bytes) -> tuple[list[JsonValue], bool]:
    """The headers as pairs of name and value; whether there were too many."""
    lines = block[:MAX_TRAILERS].split(b"\r\n")
    pairs: list[JsonValue] = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name:
            pairs.append([readable(name), readable(value).strip()])
    return pairs, len(block) > MAX_TRAILERS
