"""What the rows of the summary say."""

from __future__ import annotations

from tlstap.records import Exchange, Message
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count
from tlstap.sinks.layout import Segment
from tlstap.sinks.summary.rows import Pair
from tlstap.sinks.summary.tallies import Bytes, Tally
from tlstap.sinks.words import grpc
from tlstap.sinks.words.brief import size, span
from tlstap.sinks.words.http import UNKNOWN, full_url, head_seen, known, status
from tlstap.sinks.words.missing import trouble
from tlstap.sinks.words.parts import BodyParts, Parts, parts_count

NONE = "-"


def pair_cells(exchange: Exchange, parts: BodyParts, *, complete: bool) -> Pair:
    """An exchange that is over."""
    request, response = exchange.request, exchange.response
    seen = request is not None and head_seen(request)
    found = parts.of(exchange)
    return Pair(
        method=escape(known(request.method)) if request is not None and seen else UNKNOWN,
        url=escape(full_url(request)) if request is not None and seen else UNKNOWN,
        sent=size(request.body_bytes) if request is not None and request.body_bytes else "",
        status=_status(response),
        content_type=escape(_content_type(response)) if response is not None else NONE,
        received=size(response.body_bytes) if response is not None else NONE,
        span=_span(request, response),
        notes=_notes(exchange, found, complete=complete),
        grpc_status=None if response is None else found.grpc_status or grpc.status_of(response),
    )


def tally_words(tally: Tally) -> list[list[Segment]]:
    """Messages of a protocol that is over."""
    words: list[list[Segment]] = [[("request", escape(tally.protocol))]]
    request = tally.exchange.request if tally.exchange is not None else None
    if request is not None and head_seen(request):
        words.append([("", escape(full_url(request)))])
    sent, received = tally.messages["write"], tally.messages["read"]
    words.append([("", f"{count(sent, 'message')} sent ({size(tally.bytes['write'])}),")])
    words.append([("", f"{received:,} received ({size(tally.bytes['read'])}),")])
    words.append([("note", span(tally.last_ns - tally.first_ns))])
    return words


def bytes_words(item: Bytes) -> list[list[Segment]]:
    """What was not decoded of a connection that is over."""
    sent, received = size(item.undecoded["write"]), size(item.undecoded["read"])
    words: list[list[Segment]] = [[("note", f"not decoded: {sent} sent, {received} received")]]
    if item.lost:
        words.append([("warning", f"! {size(item.lost)} lost")])
    return words


def _status(response: Message | None) -> Segment:
    if response is None:
        return ("", NONE)
    style, _ = status(response)
    return (style, UNKNOWN if response.status is None else str(response.status))


def _content_type(message: Message) -> str:
    """The media type, without parameters."""
    value = next((value for name, value in message.headers if name.lower() == "content-type"), "")
    return value.partition(";")[0].strip().lower() or NONE


def _span(request: Message | None, response: Message | None) -> str:
    """From the first byte of the request to the last of the response."""
    if request is None or response is None or not request.start_ns or not response.end_ns:
        return NONE
    return span(response.end_ns - request.start_ns)


def _notes(exchange: Exchange, parts: Parts, *, complete: bool) -> list[list[Segment]]:
    notes: list[list[Segment]] = []
    if exchange.pushed:
        notes.append([("note", "pushed")])
    counted = _counted(exchange, parts)
    if counted:
        notes.append([("note", counted)])
    what = trouble(exchange, complete=complete)
    if what:
        notes.append([("warning", f"! {what}")])
    return notes


def _counted(exchange: Exchange, parts: Parts) -> str:
    """How many messages the bodies consisted of; "" where that goes without saying."""
    sent, received = parts.messages.get("write", 0), parts.messages.get("read", 0)
    if exchange.body_format == "sse":
        return parts_count("sse", sent + received) if parts.messages else ""
    # A plain call has one message each way.
    return f"{count(sent, 'message')} sent, {received:,} received" if max(sent, received) > 1 else ""
