"""From the bytes of connections to HAR documents, through all decoders."""

from __future__ import annotations

from typing import Any

from hyperframe.frame import DataFrame
from tests.support import har
from tests.support.samples import rendered
from tests.unit.protocols.conversation import Conversation, run
from tests.unit.protocols.http2_talk import Http2Talk, ok
from tests.unit.protocols.websocket_talk import KEY, frame

from tlstap.pipeline import Pipeline
from tlstap.records import Record
from tlstap.registry import Registry
from tlstap.sinks.har.sink import SINK

REQUEST = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
HELLO = frame(1, "grüß".encode(), key=KEY)
ANSWER = frame(2, b"\0\xff")
CLOSE = frame(8, b"\x03\xe8bye")


def entries(records: list[Record]) -> list[dict[str, Any]]:
    return list(har.load(rendered(SINK, records))["entries"])


def pipeline() -> Pipeline:
    registry = Registry.load()
    return Pipeline(registry.protocols, registry.body_formats)


def said(entry: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(m["type"], m["opcode"], m["data"]) for m in entry["_webSocketMessages"]]


def test_a_websocket_over_http1() -> None:
    talk = Conversation().write(REQUEST).read(SWITCHED).write(HELLO).read(ANSWER).read(CLOSE)
    [entry] = entries(run(talk.records, pipeline()))
    assert entry["request"]["url"] == "wss://h/chat"
    assert said(entry) == [("send", 1, "grüß"), ("receive", 2, "AP8="), ("receive", 8, "Ynll")]
    assert entry["_webSocketMessages"][2]["_details"] == {"code": 1000, "reason": "bye"}


def test_at_the_server_the_client_sends_too() -> None:
    talk = Conversation().read(REQUEST).write(SWITCHED).read(HELLO).write(ANSWER).close()
    [entry] = entries(run(talk.records, pipeline()))
    assert (entry["_role"], said(entry)) == ("server", [("send", 1, "grüß"), ("receive", 2, "AP8=")])


def test_a_websocket_over_http2() -> None:
    talk = Http2Talk()
    connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat")]
    talk.client.send(talk.client.headers(1, [*connect, (":authority", "h")]))
    talk.server.send(talk.server.headers(1, ok()))
    talk.client.send(_data(1, HELLO))
    talk.exchange(3, "/other", b"o")
    talk.server.send(_data(1, ANSWER)).send(_data(1, b"", end=True))
    talk.client.send(_data(1, b"", end=True))
    other, chat = entries(talk.run())
    assert other["request"]["url"].endswith("/other")
    assert chat["request"]["url"] == "wss://h/chat"
    assert (chat["_streamId"], chat["request"]["_protocol"]) == (1, "websocket")
    assert said(chat) == [("send", 1, "grüß"), ("receive", 2, "AP8=")]


def test_server_sent_events() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    talk = Conversation().write(b"GET /news HTTP/1.1\r\nHost: h\r\n\r\n").read(head)
    talk.read(b"14\r\nid: 7\ndata: one\ndata\r\n").read(b"d\r\n\n\ndata: two\n\n\r\n0\r\n\r\n")
    [entry] = entries(run(talk.records, pipeline()))
    events = [(it["eventName"], it["eventId"], it["data"]) for it in entry["_eventSourceMessages"]]
    assert events == [("message", "7", "one\n"), ("message", "7", "two")]
    assert entry["response"]["content"]["text"] == "id: 7\ndata: one\ndata\n\ndata: two\n\n"
    assert "_messages" not in entry


def _data(stream: int, payload: bytes, *, end: bool = False) -> DataFrame:
    return DataFrame(stream, payload, flags=["END_STREAM"] if end else [])
