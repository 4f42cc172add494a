"""What of a message stands in its heading, and what below."""

from __future__ import annotations

from collections.abc import Iterator

from tlstap.records import ProtocolMessage
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.content import as_text, content_lines
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count
from tlstap.sinks.layout import Segment
from tlstap.sinks.words import grpc
from tlstap.sinks.words.details import Details, json_lines, split
from tlstap.sinks.words.http import header
from tlstap.sinks.words.missing import missing_words
from tlstap.sinks.words.protobuf import field_lines

_GRPC_CONTENT = frozenset(
    ("message", "schema_error", "unknown_bytes", "fields", "fields_cut", "trailers", "trailers_cut")
)
_GRPC_KNOWN = frozenset(("service", "method"))
"""What the request's path says."""
_MAX_PROBE = 125


def is_close(record: ProtocolMessage) -> bool:
    """Is it the end of a WebSocket?"""
    return record.protocol == "websocket" and record.type == "close"


def _is_probe(record: ProtocolMessage) -> bool:
    """Is it one of WebSocket's pings and their answers? They carry 125 bytes at most, often random ones."""
    probe = record.protocol == "websocket" and record.type in ("ping", "pong")
    return probe and len(record.payload) <= _MAX_PROBE


def _in_a_word(payload: bytes) -> str:
    text = as_text(payload)
    return escape(text) if text is not None and text.isprintable() else payload.hex(" ")


def heading_words(record: ProtocolMessage) -> tuple[list[str], Details]:
    """The details that stand in the heading, and those that stand below as JSON."""
    details = record.details
    if _is_probe(record):
        words, rest = split(details)
        return ([*words, _in_a_word(record.payload)] if record.payload else words), rest
    if record.protocol == grpc.PROTOCOL:
        details = {k: v for k, v in details.items() if k not in _GRPC_CONTENT and k not in _GRPC_KNOWN}
    elif is_close(record):
        details = {key: value for key, value in details.items() if value != ""}
    return split(details)


def lines_below(record: ProtocolMessage, rest: Details, options: OutputOptions) -> Iterator[list[Segment]]:
    """The details that are no words, the content, and what lacks."""
    if rest:
        yield from json_lines(rest, options)
    if record.protocol == grpc.PROTOCOL:
        yield from _grpc(record, options)
    elif not _is_probe(record) and (not is_close(record) or record.details.get("code") is None):
        # The payload of the end of a WebSocket is the reason, which is among the details.
        yield from content_lines(record.payload, options)
    for item in record.missing:
        yield [("warning", f"[{missing_words(item)}]")]


def _grpc(record: ProtocolMessage, options: OutputOptions) -> Iterator[list[Segment]]:
    details = record.details
    trailers = grpc.web_trailers(record)
    if trailers is not None:
        yield from (header(name, value) for name, value in trailers)
        if details.get("trailers_cut"):
            yield [("note", "[more trailers left out]")]
        return
    if "message" in details:
        yield from json_lines(details["message"], options)
    if "schema_error" in details:
        yield [("warning", escape(f"[not decoded by its schema: {details['schema_error']}]"))]
    unknown = details.get("unknown_bytes")
    if isinstance(unknown, int):
        yield [("note", f"[{count(unknown, 'byte')} that the schema does not know; all fields:]")]
    if "fields" in details:
        yield from field_lines(details["fields"], options)
        if details.get("fields_cut"):
            yield [("note", "[more fields left out]")]
    elif "message" not in details:
        yield from content_lines(record.payload, options)
