"""HTTP exchanges of a connection, compared with what its bytes say: headers, bodies, pairs, streams."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support import http2
from tests.support.http2 import PREFACE, Half, Head, halves
from tests.support.traffic import Traced, http_events
from tlstap import schema


def by_stream(events: Iterable[schema.Event], of: Traced) -> dict[int, schema.HttpEvent]:
    """The http events of an HTTP/2 connection, by streams, in their order; no stream has two."""
    found = {event.stream_id or 0: event for event in sorted(http_events(events, of), key=_stream)}
    assert len(found) == len(http_events(events, of))
    return found


def check_http2(events: Iterable[schema.Event], of: Traced) -> dict[int, schema.HttpEvent]:
    """All streams of a whole HTTP/2 connection were shown, each once, complete and as its bytes say.

    :return: the events, by streams.
    """
    at_client = of.written.startswith(PREFACE)
    asked, nothing = halves(of.written if at_client else of.read)
    answered, promised = halves(of.read if at_client else of.written)
    requests = {number: half for number, half in asked.items() if half.heads}
    requests |= {number: Half([head], ended=True) for number, head in promised.items()}
    found = by_stream(events, of)

    assert nothing == {}
    assert list(found) == sorted(requests)
    for number, event in found.items():
        assert (event.protocol, event.missing, event.complete, event.reset) == ("HTTP/2", (), True, None)
        assert event.pushed == (number in promised)
        assert (event.process.pid, event.connection.id) == (of.process.pid, of.id)
        assert event.request is not None
        assert event.response is not None
        check_request(event.request, requests[number])
        check_response(event, event.response, answered[number])
        times = event.timings
        assert times.request_start_ns is not None
        assert times.request_end_ns is not None
        assert times.response_start_ns is not None
        assert times.response_end_ns is not None
        assert times.request_start_ns <= times.request_end_ns
        assert times.response_start_ns <= times.response_end_ns
    return found


def check_request(request: schema.HttpRequest, half: Half) -> None:
    """The request of an exchange is what was sent."""
    assert half.ended
    names = (":method", ":scheme", ":authority", ":path", ":protocol")
    shown = (request.method, request.scheme, request.authority, request.target, request.protocol)
    assert shown == tuple(half.first(name) for name in names)
    head, *trailers = half.heads
    check_content(request, head, trailers, half)


def check_response(event: schema.HttpEvent, response: schema.HttpResponse, half: Half) -> None:
    """The responses of an exchange are what was sent."""
    assert half.ended
    heads = [head for head in half.heads if head[0][0] == ":status"]
    trailers = [head for head in half.heads if head[0][0] != ":status"]
    *informational, final = heads
    assert [each.status for each in event.informational] == [int(head[0][1]) for head in informational]
    assert [each.headers for each in event.informational] == [_plain(head) for head in informational]
    assert (response.status, response.reason) == (int(final[0][1]), "")
    check_content(response, final, trailers, half)


def check_content(message: schema.HttpMessage, head: Head, trailers: list[Head], half: Half) -> None:
    """Headers, trailers and body are what was sent."""
    assert message.headers == _plain(head)
    assert message.unknown_headers == ()
    assert message.trailers == tuple(pair for head in trailers for pair in head)
    assert message.body_bytes == len(half.content)
    assert message.content == half.content


def _plain(head: http2.Head) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in head if not name.startswith(":"))


def _stream(event: schema.HttpEvent) -> int:
    assert event.stream_id is not None
    return event.stream_id


Known = tuple[str | None, str | None]


def check_known(message: schema.HttpMessage, head: Head) -> dict[str, Known]:
    """What is known of a message's head is right and in place, and what is not known is marked.

    :param head: what was sent, pseudo-headers and all.
    :return: what is known, name and value, of the headers of which that is not all.
    """
    if isinstance(message, schema.HttpRequest):
        fields = (message.method, message.scheme, message.authority, message.target, message.protocol)
        pseudo = dict(zip((":method", ":scheme", ":authority", ":path", ":protocol"), fields, strict=True))
    else:
        assert isinstance(message, schema.HttpResponse)
        pseudo = {":status": None if message.status is None else str(message.status)}
    sent = []
    for name, value in head:
        if pseudo.get(name) is None:
            sent.append((name, value))
        else:
            assert pseudo[name] == value
    shown: list[Known] = list(message.headers)
    for number, header in enumerate(message.unknown_headers):
        shown.insert(header.position + number, (header.name, header.value))
    assert len(shown) == len(sent)
    for (name, value), known in zip(sent, shown, strict=True):
        assert known[0] in (name, None)
        assert known[1] in (value, None)
    return {name: known for (name, _), known in zip(sent, shown, strict=True) if None in known}
