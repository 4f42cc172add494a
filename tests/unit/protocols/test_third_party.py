"""A protocol and a body format of a third party, from the entry point to what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from io import StringIO

from tests.unit.protocols.conversation import Conversation
from tests.unit.protocols.http2_talk import Http2Talk, data, get, ok

from tlstap.pipeline import Pipeline
from tlstap.records import ProtocolMessage, Record
from tlstap.registry import Registry
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.emit import Emitter

PLUGIN = EntryPoint("redis", "tests.support.redis_plugin", "tlstap")


def loaded() -> Registry:
    registry = Registry.load(third_party=[PLUGIN])
    assert registry.failures == []
    return registry


def messages(records: Sequence[Record]) -> list[tuple[str, str, str, bytes]]:
    return [
        (record.protocol, record.type, record.direction, bytes(record.payload))
        for record in records
        if isinstance(record, ProtocolMessage) and record.protocol != "http2"
    ]


def test_its_protocol_is_recognised_by_content() -> None:
    registry = loaded()
    talk = Conversation()
    talk.write(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n").read(b"+va").read(b"lue\r\n")
    records = talk.run(Pipeline(registry.protocols, registry.body_formats))
    assert messages(records) == [
        ("redis", "command", "write", b"GET key"),
        ("redis", "reply", "read", b"+value"),
    ]


def test_it_is_shown_like_any_other() -> None:
    registry = loaded()
    talk = Conversation().write(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n").read(b"+value\r\n")
    shown: dict[str, str] = {}
    for name in ("text", "json"):
        stream = StringIO()
        emitter = Emitter(registry.sinks[name].create(stream, OutputOptions()), stream)
        emitter.write(talk.run(Pipeline(registry.protocols, registry.body_formats)))
        emitter.close()
        shown[name] = stream.getvalue()
    assert "redis command, 7 bytes" in shown["text"]
    assert "\n    GET key\n" in shown["text"]
    assert '"kind":"message","protocol":"redis"' in shown["json"].replace(" ", "")


def test_its_body_format_reads_bodies_of_http2_as_they_come() -> None:
    registry = loaded()
    talk = Http2Talk()
    talk.client.send(talk.client.headers(1, get("/log"), end=True))
    talk.server.send(talk.server.headers(1, ok(("content-type", "application/x-ndjson"))))
    talk.server.send(data(1, b'{"a": 1}\n{"b"')).send(data(1, b": 2}\n", end=True))
    records = talk.talk.run(Pipeline(registry.protocols, registry.body_formats))
    assert messages(records) == [
        ("ndjson", "document", "read", b'{"a": 1}'),
        ("ndjson", "document", "read", b'{"b": 2}'),
    ]
    first, second = [r for r in records if isinstance(r, ProtocolMessage) and r.protocol == "ndjson"]
    assert first.time_ns < second.time_ns
    assert first.stream_id == 1
    assert first.exchange is not None and first.exchange.request is not None
    assert first.exchange.request.target == "/log"


def test_its_names_are_listed() -> None:
    registry = loaded()
    declared = registry.declared_by(registry.plugins[-1])
    assert declared == {"libraries": [], "protocols": ["redis"], "body formats": ["ndjson"], "formats": []}
