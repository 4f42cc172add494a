"""HTTP/2's own frames as text: what the ends ask of each other, and how one gives up."""

from __future__ import annotations

from tlstap.records import ProtocolMessage
from tlstap.sinks.escape import escape, escape_bytes
from tlstap.sinks.layout import Segment
from tlstap.sinks.words.details import split

PROTOCOL = "http2"

_GOAWAY = "GOAWAY"
_NO_ERROR = "NO_ERROR"


def words(record: ProtocolMessage) -> list[Segment]:
    """A frame in one line. The end of a connection is a warning, unless it is a regular one."""
    details = dict(record.details)
    if record.type != _GOAWAY:
        settings, _ = split(details)
        return [("note", " ".join([escape(record.type), *settings]))]
    what = f"{_GOAWAY} {escape(str(details.pop('error', None) or ''))}".rstrip()
    last = details.pop("last_stream_id", None)
    if last is not None:
        what += f", last stream {escape(str(last))}"
    if record.payload:
        what += f": {escape_bytes(record.payload)}"
    return [("warning", f"! {what}") if is_error(record) else ("note", what)]


def is_error(record: ProtocolMessage) -> bool:
    """Is it the end of a connection, for a reason that is an error?"""
    return record.type == _GOAWAY and record.details.get("error") != _NO_ERROR
