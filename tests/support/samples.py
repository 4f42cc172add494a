"""Records as the steps before "emit" make them, for tests of what comes of them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from tlstap import schema
from tlstap.records import (
    Connection,
    Exchange,
    ExchangeEnded,
    HeadSeen,
    Message,
    MessageEnded,
    ProtocolMessage,
    Record,
)
from tlstap.sinks.base import OutputOptions, SinkType
from tlstap.sinks.emit import Emitter

NOW = 1_767_225_600_123_456_789
"""2026-01-01 00:00:00.123 UTC."""
MS = 1_000_000


def process(**changes: Any) -> schema.Process:
    """curl, 4242."""
    given = {"pid": 4242, "tid": 4243, "uid": 1000, "comm": "curl", "exe": "/usr/bin/curl", "container": None}
    return schema.Process(**given | changes)


def library(**changes: Any) -> schema.LibraryInfo:
    """OpenSSL 3.0.15."""
    given = {"name": "openssl", "version": "3.0.15", "path": "/lib/libssl.so.3", "build_id": "ab12"}
    return schema.LibraryInfo(**given | changes)


def connection(**changes: Any) -> Connection:
    """Number 3, 10.0.0.2:51034 -> 192.0.2.7:443, of which everything is known."""
    given: dict[str, Any] = {
        "id": 3,
        "process": process(),
        "library": library(),
        "local": schema.Endpoint(address="10.0.0.2", port=51034),
        "remote": schema.Endpoint(address="192.0.2.7", port=443),
        "role": "client",
        "sni": "example.com",
        "alpn": "http/1.1",
        "tls_version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
    }
    return Connection(**given | changes)


def request(**changes: Any) -> Message:
    """GET /index.html at NOW."""
    given = {
        "is_request": True,
        "method": "GET",
        "scheme": "https",
        "authority": "example.com",
        "target": "/index.html",
        "headers": [("Host", "example.com"), ("Accept", "*/*")],
        "start_ns": NOW,
        "end_ns": NOW,
    }
    return _message(given | changes)


def response(**changes: Any) -> Message:
    """200, 20 ms after NOW, with "hello" in it."""
    given = {
        "is_request": False,
        "status": 200,
        "reason": "OK",
        "headers": [("Content-Type", "text/plain")],
        "body": bytearray(b"hello\n"),
        "start_ns": NOW + 20 * MS,
        "end_ns": NOW + 21 * MS,
    }
    return _message(given | changes)


def _message(fields: dict[str, Any]) -> Message:
    message = Message(**fields)
    message.body_bytes = message.body_bytes or len(message.body)
    return message


def exchange(of: Connection, **changes: Any) -> Exchange:
    """An exchange on that connection, without messages unless they are given."""
    given: dict[str, Any] = {"connection": of, "process": of.process, "protocol": "HTTP/1.1"}
    return Exchange(**given | changes)


def whole(of: Connection, asked: Message, answered: Message, **changes: Any) -> list[Record]:
    """All records of an exchange that nothing interrupts."""
    it = exchange(of, request=asked, response=answered, **changes)
    later = answered.end_ns or NOW
    return [
        HeadSeen(it, asked, "write", NOW),
        MessageEnded(it, asked, "write", NOW),
        HeadSeen(it, answered, "read", answered.start_ns),
        MessageEnded(it, answered, "read", later),
        ExchangeEnded(it, later, True),
    ]


def message(
    of: Connection, protocol: str, kind: str, payload: bytes = b"", **changes: Any
) -> ProtocolMessage:
    """A message that the process wrote on that connection at NOW."""
    given: dict[str, Any] = {
        "connection": of,
        "process": of.process,
        "time_ns": NOW,
        "direction": "write",
        "protocol": protocol,
        "type": kind,
        "payload": payload,
        "size": len(payload),
    }
    return ProtocolMessage(**given | changes)


def rendered(sink: SinkType, records: Iterable[Record], **options: Any) -> str:
    """What the sink writes for these records."""
    stream = io.StringIO()
    emitter = Emitter(sink.create(stream, OutputOptions(**options)), stream)
    emitter.write(records)
    emitter.close()
    return stream.getvalue()
