"""The parts of an HTTP exchange as styled text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tlstap.records import Exchange, Message, UnknownHeader
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count, duration
from tlstap.sinks.layout import Segment
from tlstap.sinks.words import grpc

MAX_REFERENCE = 40
"""Characters of a request's target where it is only referred to."""

UNKNOWN = "[unknown]"
"""In place of what HTTP/2 referred to but was not seen."""

_STATUS_STYLES = {2: "ok", 3: "redirect", 4: "refused", 5: "failed"}


def request_line(exchange: Exchange, message: Message) -> list[Segment]:
    """Method, target and protocol; for HTTP/2 the target as a URL, since scheme and host are no headers."""
    segments: list[Segment] = [("note", "pushed ")] if exchange.pushed else []
    segments += [
        ("method", escape(known(message.method))),
        ("request", f" {escape(url(exchange, message))}"),
    ]
    if message.protocol is not None:
        segments.append(("method", f" {escape(message.protocol)}"))
    segments.append(("", f" {escape(exchange.protocol)}"))
    return segments


def url(exchange: Exchange, message: Message) -> str:
    """A request's target; for HTTP/2 with scheme and host, since those are no headers there."""
    if exchange.protocol == "HTTP/2":
        return full_url(message)
    return known(message.target or message.authority)


def full_url(message: Message) -> str:
    """Scheme, host and path of a request; only the host of a tunnel's."""
    target, authority = message.target, message.authority
    if message.method == "CONNECT" and message.protocol is None:
        return known(authority or target)
    if target is None or target.startswith("/") or target == "*":
        path = f"/{UNKNOWN}" if target is None else f"/{target}" if target == "*" else target
        return f"{message.scheme or 'https'}://{known(authority)}{path}"
    return target


def known(text: str | None) -> str:
    """The text, or a mark in its place."""
    return UNKNOWN if text is None else text


def head_seen(message: Message) -> bool:
    """Was anything of a message seen besides its body?"""
    start = message.method or message.target if message.is_request else message.status
    return bool(start or message.headers or message.unknown_headers)


def status_line(exchange: Exchange, message: Message, *, follows_request: bool) -> list[Segment]:
    """Protocol, status and reason; to which request, unless that stands right above; after how long."""
    segments: list[Segment] = [("", f"{escape(exchange.protocol)} "), status(message)]
    notes = []
    request = exchange.request
    if request is not None:
        if not follows_request:
            notes.append(f"to {reference(request)}")
        if request.start_ns and message.start_ns:
            notes.append(duration(message.start_ns - request.start_ns))
    if notes:
        segments.append(("note", f" ({', '.join(notes)})"))
    return segments


def status(message: Message) -> Segment:
    """Status and reason of a response."""
    style = _STATUS_STYLES.get((message.status or 0) // 100, "request")
    code = UNKNOWN if message.status is None else message.status
    return (style, f"{code} {escape(message.reason)}".rstrip())


def header_lines(message: Message) -> Iterator[list[Segment]]:
    """The headers, one a line, those that are not known at their places."""
    unknown = deque(sorted(message.unknown_headers, key=lambda header: header.position))
    for position, (name, value) in enumerate(message.headers):
        while unknown and unknown[0].position <= position:
            yield _unknown_header(unknown.popleft())
        yield header(name, value)
    yield from map(_unknown_header, unknown)


def header(name: str, value: str) -> list[Segment]:
    """One header. The status of gRPC gets its name, its message is decoded."""
    start: list[Segment] = [("name", escape(name)), ("", ": ")]
    match name.lower():
        case grpc.STATUS:
            return [*start, grpc.status(value)]
        case grpc.MESSAGE:
            return [*start, ("", grpc.status_message(value))]
    return [start[0], ("", f": {escape(value)}")]


def _unknown_header(header: UnknownHeader) -> list[Segment]:
    if header.name is None and header.value is None:
        return [("warning", "[unknown header]")]
    name: Segment = ("warning", UNKNOWN) if header.name is None else ("name", escape(header.name))
    value: Segment = ("warning", UNKNOWN) if header.value is None else ("", escape(header.value))
    return [name, ("", ": "), value]


def trailer_lines(message: Message) -> Iterator[list[Segment]]:
    """The trailers, one a line."""
    return (header(name, value) for name, value in message.trailers)


def whose(exchange: Exchange, message: Message) -> str:
    """A message in a few words: "GET /index.html", "200 to GET /index.html"."""
    seen = head_seen(message)
    if message.is_request:
        return reference(message) if seen else "a request, head not seen"
    words = str(message.status or UNKNOWN) if seen else "a response"
    if exchange.request is not None and head_seen(exchange.request):
        words += f" to {reference(exchange.request)}"
    return words if seen else f"{words}, head not seen"


def body_title(exchange: Exchange, message: Message) -> list[Segment]:
    """Says whose body it is, where it does not stand below its headers."""
    return [("note", f"body of {whose(exchange, message)}, {count(message.body_bytes, 'byte')}")]


def reference(request: Message) -> str:
    """A request in a few words."""
    target = known(request.target or request.authority)
    if len(target) > MAX_REFERENCE:
        target = f"{target[: MAX_REFERENCE - 3]}..."
    return escape(f"{known(request.method)} {target}")
