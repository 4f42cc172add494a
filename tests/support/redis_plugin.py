"""A third party's plugin: the protocol of Redis (RESP), and a format of bodies (a JSON document a line)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import tlstap

_COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n[A-Za-z]")


class Redis(tlstap.Protocol):
    """Commands that a client sends, as arrays of strings, and simple replies."""

    name = "redis"

    def recognise(self, channel: tlstap.Channel, direction: str, start: bytes) -> bool | None:
        return True if _COMMAND.match(start) else None if len(start) < 16 and start[:1] == b"*" else False

    def decoder(self, channel: tlstap.Channel, memory: tlstap.Allowance) -> tlstap.Decoder:
        return RedisDecoder(channel)


class RedisDecoder(tlstap.Decoder):
    """Whole lines only: enough for a test."""

    def __init__(self, channel: tlstap.Channel) -> None:
        self._channel = channel
        self._rest = {"read": b"", "write": b""}

    def feed(self, data: tlstap.StreamBytes) -> Iterator[tlstap.ProtocolMessage]:
        received = self._rest[data.direction] + data.payload
        while (message := _message(received)) is not None:
            size, kind, words = message
            received = received[size:]
            where = (self._channel.connection, data.process, data.time_ns, data.direction)
            text = b" ".join(words)
            yield tlstap.ProtocolMessage(*where, "redis", kind, text, len(text), {"words": len(words)})
        self._rest[data.direction] = received

    def finish(self, time_ns: int, *, closed: bool) -> Iterable[tlstap.ProtocolMessage]:
        return ()


def _message(received: bytes) -> tuple[int, str, list[bytes]] | None:
    """Size, type and words of the first message, if it is whole."""
    lines = received.split(b"\r\n")
    if received[:1] == b"*":
        count = 1 + 2 * int(lines[0][1:])
        size = sum(len(line) + 2 for line in lines[:count])
        return (size, "command", lines[2:count:2]) if len(lines) > count else None
    return (len(lines[0]) + 2, "reply", [lines[0]]) if len(lines) > 1 else None


class JsonLines(tlstap.BodyFormat):
    """A body of JSON documents, one in each line."""

    name = "ndjson"

    def reader(self, exchange: object, message: object, memory: tlstap.Allowance) -> tlstap.BodyReader | None:
        headers = getattr(message, "headers", [])
        return LinesReader() if ("content-type", "application/x-ndjson") in headers else None


class LinesReader(tlstap.BodyReader):
    """Gives out each line as it is complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[tlstap.Part]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield tlstap.Part("document", line, len(line))

    def gap(self, size: int | None) -> Iterable[tlstap.Part]:
        return ()

    def finish(self, *, unfinished: bool) -> Iterable[tlstap.Part]:
        return ()


@tlstap.hookimpl
def tlstap_protocols() -> Sequence[tlstap.Protocol]:
    return (Redis(),)


@tlstap.hookimpl
def tlstap_body_formats(options: tlstap.BodyOptions) -> Sequence[tlstap.BodyFormat]:
    return (JsonLines(),)
