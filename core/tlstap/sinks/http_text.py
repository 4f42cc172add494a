"""The parts of an HTTP exchange as styled text."""

from __future__ import annotations

from tlstap.records import Exchange, Message, Missing
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count, duration
from tlstap.sinks.layout import Segment

MAX_REFERENCE = 40
"""Characters of a request's target where it is only referred to."""

UNKNOWN = "[unknown]"
"""In place of what HTTP/2 referred to but was not seen."""

_STATUS_STYLES = {2: "ok", 3: "redirect", 4: "refused", 5: "failed"}


def request_line(exchange: Exchange, message: Message) -> list[Segment]:
    """Method, target and protocol; for HTTP/2 the target as a URL, since scheme and host are no headers."""
    return [
        ("method", escape(_known(message.method))),
        ("request", f" {escape(url(exchange, message))}"),
        ("", f" {escape(exchange.protocol)}"),
    ]


def url(exchange: Exchange, message: Message) -> str:
    """A request's target; for HTTP/2 with scheme and host, since those are no headers there."""
    target, authority = message.target, message.authority
    if exchange.stream_id is not None and message.method != "CONNECT":
        if target is None or target.startswith("/"):
            path = f"/{UNKNOWN}" if target is None else target
            return f"{message.scheme or 'https'}://{_known(authority)}{path}"
        return target
    return _known(target or authority)


def _known(text: str | None) -> str:
    return UNKNOWN if text is None else text


def status_line(exchange: Exchange, message: Message, *, follows_request: bool) -> list[Segment]:
    """Protocol, status and reason; to which request, unless that stands right above; after how long."""
    style = _STATUS_STYLES.get((message.status or 0) // 100, "request")
    status = UNKNOWN if message.status is None else message.status
    segments: list[Segment] = [
        ("", f"{escape(exchange.protocol)} "),
        (style, f"{status} {escape(message.reason)}".rstrip()),
    ]
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


def header(name: str, value: str) -> list[Segment]:
    """One header."""
    return [("name", escape(name)), ("", f": {escape(value)}")]


def body_title(exchange: Exchange, message: Message) -> list[Segment]:
    """Says whose body it is, where it does not stand below its headers."""
    whose = reference(message) if message.is_request else str(message.status or UNKNOWN)
    if exchange.request is not None and not message.is_request:
        whose += f" to {reference(exchange.request)}"
    return [("note", f"body of {whose}, {count(message.body_bytes, 'byte')}")]


def incomplete(exchange: Exchange) -> list[Segment]:
    """What an exchange lacks."""
    subject = f"{reference(exchange.request)} " if exchange.request else ""
    missing = "; ".join([_missing(item) for item in exchange.missing])
    return [("warning", f"! {subject}incomplete" + (f": {missing}" if missing else ""))]


def reference(request: Message) -> str:
    """A request in a few words."""
    target = _known(request.target or request.authority)
    if len(target) > MAX_REFERENCE:
        target = f"{target[: MAX_REFERENCE - 3]}..."
    return escape(f"{_known(request.method)} {target}")


def _missing(missing: Missing) -> str:
    if missing.bytes is None:
        return f"{missing.part} {missing.reason}"
    return f"{count(missing.bytes, 'byte')} of the {missing.part} {missing.reason}"
