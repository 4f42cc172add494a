"""Connections of a capture as tlstap would have seen less of them: found later, or with records lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tests.support.exchanges import check_known
from tests.support.http2 import PREFACE, Half, Head, frames, halves
from tests.support.traffic import Traced
from tlstap import schema
from tlstap.capture import CaptureReader
from tlstap.convert import to_event
from tlstap.pipeline import Pipeline
from tlstap.records import Connection, Data, Direction, ExchangeEnded, Opened
from tlstap.registry import Registry


@dataclass
class Recorded:
    """The data records of an HTTP/2 connection, whole, and what they say."""

    data: list[Data]

    @cached_property
    def client(self) -> Direction:
        """The direction of requests."""
        return "write" if self._bytes("write").startswith(PREFACE) else "read"

    @cached_property
    def server(self) -> Direction:
        """That of responses."""
        return "read" if self.client == "write" else "write"

    @cached_property
    def requests(self) -> dict[int, Half]:
        """By streams."""
        return {number: half for number, half in halves(self._bytes(self.client))[0].items() if half.heads}

    @cached_property
    def responses(self) -> dict[int, Half]:
        """By streams."""
        return halves(self._bytes(self.server))[0]

    @cached_property
    def _places(self) -> dict[int, int]:
        """Where streams begin, in the direction of requests."""
        sent = self._bytes(self.client)
        place = len(PREFACE)
        places: dict[int, int] = {}
        for frame in frames(sent):
            places.setdefault(frame.stream_id, place)
            place += 9 + frame.body_len
        return places

    def later(self, start: int) -> set[int]:
        """The streams of which everything is in the records from that one on."""
        before = [data for data in self.data[:start] if data.direction == self.client]
        end = sum(data.length for data in before)
        return {number for number in self.requests if self._places[number] >= end}

    def found_later(self, start: int) -> list[schema.HttpEvent]:
        """What comes of the records from that one on, of a connection that is older than the trace."""
        first: dict[Direction, int] = {}
        rest = []
        for data in self.data[start:]:
            begin = first.setdefault(data.direction, data.offset)
            rest.append(replace(data, offset=data.offset - begin))
        return self._decoded(rest, from_start=False)

    def with_losses(self, lost: Collection[int]) -> list[schema.HttpEvent]:
        """What comes of the others, if these records were lost."""
        return self._decoded([data for number, data in enumerate(self.data) if number not in lost], True)

    def _decoded(self, rest: Sequence[Data], from_start: bool) -> list[schema.HttpEvent]:
        was = self.data[0].connection
        connection = Connection(was.id, was.process, was.library, was.local, was.remote)
        registry = Registry.load(third_party=())
        problems: list[str] = []
        pipeline = Pipeline(registry.protocols, registry.body_formats, on_problem=problems.append)
        out = [*pipeline.feed(Opened(connection, was.process, 0, from_start))]
        for data in rest:
            out += pipeline.feed(replace(data, connection=connection))
        out += pipeline.finish(rest[-1].time_ns if rest else 0)
        assert problems == []
        events = [to_event(record, 0) for record in out if isinstance(record, ExchangeEnded)]
        return [event for event in events if isinstance(event, schema.HttpEvent)]

    def _bytes(self, direction: Direction) -> bytes:
        return b"".join(data.payload for data in self.data if data.direction == direction)

    def check(self, events: Sequence[schema.HttpEvent]) -> None:
        """No stream is shown twice, and nothing that is shown of one is wrong."""
        shown = [event.stream_id for event in events]
        assert len(shown) == len(set(shown))
        for event in events:
            assert event.stream_id in self.requests
            request, response = self.requests[event.stream_id], self.responses[event.stream_id]
            if event.request is not None:
                _check_head(event.request, request.heads[0])
                _check_body(event, event.request, "request", request)
            if event.response is not None:
                _check_head(event.response, response.heads[-1])
                _check_body(event, event.response, "response", response)


def recorded(capture: Path, ends: Collection[Traced]) -> list[Recorded]:
    """Those HTTP/2 connections of a capture, as far as they have requests."""
    numbers = {end.id for end in ends}
    found: dict[int, list[Data]] = {}
    with capture.open("rb") as lines:
        for record in CaptureReader(lines):
            if isinstance(record, Data) and record.connection.id in numbers:
                found.setdefault(record.connection.id, []).append(record)
    return [each for each in map(Recorded, found.values()) if each.requests]


def _check_head(message: schema.HttpRequest | schema.HttpResponse, head: Head) -> None:
    start = message.method if isinstance(message, schema.HttpRequest) else message.status
    # Else none of it was seen.
    if start is not None or message.headers or message.unknown_headers:
        check_known(message, head)


def _check_body(event: schema.HttpEvent, message: schema.HttpMessage, part: str, half: Half) -> None:
    """All of the body, or what is marked as not all of it."""
    missing = {each.part for each in event.missing}
    body = message.content
    if missing & {part, f"{part} body"}:
        coded = half.content != half.body
        assert _is_part(body, half.body) or (coded and half.content.startswith(body))
    elif f"{part} headers" in missing:
        # How it is compressed may not be known.
        assert body in (half.content, half.body)
    else:
        assert body == half.content


def _is_part(body: bytes, whole: bytes) -> bool:
    """Whether nothing was done to a body but to leave out some of its bytes."""
    rest = iter(whole)
    return whole.startswith(body) or all(byte in rest for byte in body)
