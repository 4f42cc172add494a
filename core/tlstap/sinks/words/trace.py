"""What happened to a connection, in words: handshakes, losses, ends."""

from __future__ import annotations

from tlstap.records import Closed, Handshake, Lost
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count, duration
from tlstap.sinks.layout import Segment


def handshake_words(record: Handshake) -> list[Segment]:
    """What was agreed on, or that nothing was; how long it took."""
    took = f" ({duration(record.duration_ns)})"
    if not record.ok:
        return [("warning", "handshake failed"), ("note", took)]
    connection = record.connection
    alpn = f"alpn {connection.alpn}" if connection.alpn else None
    details = [text for text in (connection.tls_version, connection.cipher, alpn) if text]
    return [("note", escape(" ".join(["handshake", *details])) + took)]


def closed_words(record: Closed) -> list[Segment]:
    """How much went each way, and how much of it was not seen."""
    sent, received = count(record.written_bytes, "byte"), count(record.read_bytes, "byte")
    words: list[Segment] = [("note", f"closed: {sent} sent, {received} received")]
    if record.written_lost or record.read_lost:
        lost = f"{count(record.written_lost, 'byte')} sent and {record.read_lost:,} received"
        words.append(("warning", f"; of them lost: {lost}"))
    return words


def lost_words(record: Lost) -> list[Segment]:
    """How much was lost, and why."""
    what = f"{count(record.count, 'record')} lost, {count(record.bytes, 'byte')}"
    return [("warning", f"! {what}: {escape(record.why)}")]
