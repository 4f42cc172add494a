"""The output formats that tlstap brings along, as a plugin."""

from __future__ import annotations

from collections.abc import Sequence

from tlstap.hookspecs import hookimpl
from tlstap.sinks import hex as hex_
from tlstap.sinks import jsonlines
from tlstap.sinks.base import SinkType
from tlstap.sinks.har import sink as har
from tlstap.sinks.text import sink as text


@hookimpl
def tlstap_sinks() -> Sequence[SinkType]:
    """Text, JSON lines, hex dumps, HTTP archives."""
    return (text.SINK, jsonlines.SINK, hex_.SINK, har.SINK)
