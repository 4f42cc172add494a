"""Messages of WebSockets, gRPC and server-sent events in the entries of their exchanges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import har
from tests.support.samples import MS, NOW, connection, exchange, rendered, request, response

from tlstap.records import (
    Closed,
    Connection,
    Direction,
    Exchange,
    ExchangeEnded,
    Missing,
    ProtocolMessage,
    Record,
)
from tlstap.sinks.har import holding
from tlstap.sinks.har.sink import SINK


def log(*records: Record, **options: Any) -> dict[str, Any]:
    return har.load(rendered(SINK, records, **options))


def upgraded(of: Connection, **changes: Any) -> Exchange:
    """The exchange with which a WebSocket begins, over HTTP/1.1."""
    headers = [("Connection", "upgrade"), ("Upgrade", "WebSocket")]
    asked = request(target="/chat", headers=headers)
    answered = response(status=101, reason="Switching Protocols", headers=headers, body=bytearray())
    return exchange(of, request=asked, response=answered, **changes)


def said(
    of: Exchange, payload: bytes, direction: Direction = "write", type_: str = "text", **more: Any
) -> ProtocolMessage:
    given: dict[str, Any] = {"protocol": "websocket", "size": len(payload), "time_ns": NOW + 40 * MS}
    given |= {"connection": of.connection, "process": of.process, "exchange": of}
    return ProtocolMessage(direction=direction, type=type_, payload=payload, **given | more)


def ended(it: Exchange) -> ExchangeEnded:
    return ExchangeEnded(it, NOW + 21 * MS, True)


def closed(of: Connection) -> Closed:
    return Closed(of, of.process, NOW + 50 * MS, 0, 0, 0, 0)


def test_a_websocket() -> None:
    of = connection()
    it = upgraded(of)
    [entry] = log(
        ended(it),
        said(it, "grüß".encode()),
        said(it, b"\0\xff", "read", "binary"),
        said(it, b"", "read", "ping"),
        said(it, b"", "write", "pong"),
        said(it, b"\x03\xe8bye", "read", "close", details={"code": 1000, "reason": "bye"}),
        closed(of),
    )["entries"]
    assert entry["request"]["url"] == "wss://example.com/chat"
    assert entry["_resourceType"] == "websocket"
    at = 1767225600.163457
    assert entry["_webSocketMessages"] == [
        {"type": "send", "time": at, "opcode": 1, "data": "grüß"},
        {"type": "receive", "time": at, "opcode": 2, "data": "AP8="},
        {"type": "receive", "time": at, "opcode": 9, "data": ""},
        {"type": "send", "time": at, "opcode": 10, "data": ""},
        {
            "type": "receive",
            "time": at,
            "opcode": 8,
            "data": "A+hieWU=",
            "_details": {"code": 1000, "reason": "bye"},
        },
    ]
    assert "_messages" not in entry


def test_what_the_client_sent_is_sent_also_where_the_server_is_traced() -> None:
    it = upgraded(connection(role="server"))
    [entry] = log(ended(it), said(it, b"a", "read"), said(it, b"b", "write"))["entries"]
    assert [(m["type"], m["data"]) for m in entry["_webSocketMessages"]] == [("send", "a"), ("receive", "b")]


def test_a_message_that_lacks_something() -> None:
    it = upgraded(connection())
    lacks = [Missing("message", "over the limit", 97)]
    [entry] = log(ended(it), said(it, "aü".encode()[:2], size=99, missing=lacks))["entries"]
    [message] = entry["_webSocketMessages"]
    assert (message["data"], message["_size"]) == ("a\ufffd", 99)
    assert message["_missing"] == [{"part": "message", "reason": "over the limit", "bytes": 97}]


def test_a_websocket_over_http2() -> None:
    of = connection()
    asked = request(method="CONNECT", target="/chat", protocol="websocket")
    it = exchange(of, request=asked, response=response(body=bytearray()), protocol="HTTP/2", stream_id=3)
    text = rendered(SINK, [said(it, b"a", stream_id=3), said(it, b"b", "read", stream_id=3), ended(it)])
    [entry] = har.load(text)["entries"]
    assert entry["request"]["url"] == "wss://example.com/chat"
    assert entry["request"]["_protocol"] == "websocket"
    assert [m["data"] for m in entry["_webSocketMessages"]] == ["a", "b"]


def test_server_sent_events() -> None:
    answered = response(headers=[("Content-Type", "text/event-stream; charset=utf-8")])
    it = exchange(connection(), request=request(), response=answered, body_format="sse")
    one = said(it, "é".encode(), "read", "message", protocol="sse", details={"id": "7", "retry": 10})
    [entry] = log(one, said(it, b"", "read", "tick", protocol="sse"), ended(it))["entries"]
    assert entry["_resourceType"] == "eventsource"
    assert entry["response"]["content"]["mimeType"] == "text/event-stream", "as Chromium's reader wants it"
    at = 1767225600.163457
    assert entry["_eventSourceMessages"] == [
        {"time": at, "eventName": "message", "eventId": "7", "data": "é", "_details": {"retry": 10}},
        {"time": at, "eventName": "tick", "eventId": "", "data": ""},
    ]


def test_other_messages() -> None:
    it = exchange(connection(), request=request(), response=response(), body_format="grpc")
    details = {"message": {"a": [1, None, 0.5]}}
    first = said(it, b"\x08\xff\x01", type_="x.Request", protocol="grpc", details=details)
    second = said(it, b"text", "read", "", protocol="grpc", missing=[Missing("message", "unfinished")])
    [entry] = log(first, second, ended(it))["entries"]
    at = 1767225600.163457
    assert entry["_messages"] == [
        {
            "time": at,
            "protocol": "grpc",
            "type": "x.Request",
            "direction": "send",
            "data": "CP8B",
            "encoding": "base64",
            "size": 3,
            "details": {"message": {"a": [1, None, 0.5]}},
        },
        {
            "time": at,
            "protocol": "grpc",
            "type": "",
            "direction": "receive",
            "data": "text",
            "size": 4,
            "missing": [{"part": "message", "reason": "unfinished"}],
        },
    ]


def test_messages_of_no_exchange_have_no_place() -> None:
    of = connection()
    alone = ProtocolMessage(of, of.process, NOW, "read", "http2", "GOAWAY", b"", 0)
    assert log(alone) == log()


def test_messages_of_several_exchanges() -> None:
    first, second = upgraded(connection(id=1)), upgraded(connection(id=2))
    records = [ended(first), ended(second), said(first, b"1"), said(second, b"2"), said(first, b"3")]
    entries = log(*records, closed(second.connection))["entries"]
    found = [(entry["_connectionId"], [m["data"] for m in entry["_webSocketMessages"]]) for entry in entries]
    assert found == [("2", ["2"]), ("1", ["1", "3"])]


def test_a_tunnel_is_waited_for() -> None:
    of = connection()
    it = exchange(of, request=request(method="CONNECT"), response=response(body=bytearray()))
    [entry] = log(ended(it), said(it, b"x", protocol="mqtt", type_="PUBLISH"), closed(of))["entries"]
    assert [m["type"] for m in entry["_messages"]] == ["PUBLISH"]


def test_only_http() -> None:
    it = upgraded(connection())
    [entry] = log(ended(it), said(it, b"a"), kinds=frozenset({"http"}))["entries"]
    assert "_webSocketMessages" not in entry


def test_only_messages() -> None:
    plain, busy, idle = (
        exchange(connection(), request=request()),
        upgraded(connection()),
        upgraded(connection()),
    )
    records = [ended(plain), ended(busy), ended(idle), said(busy, b"a")]
    [entry] = log(*records, kinds=frozenset({"message"}))["entries"]
    assert [m["data"] for m in entry["_webSocketMessages"]] == ["a"]


def test_messages_of_an_exchange_that_ended_before() -> None:
    of = connection()
    it = exchange(of, request=request(), response=response())
    document = log(ended(it), said(it, b"late", protocol="sse"), closed(of), said(it, b"x", protocol="sse"))
    assert len(document["entries"]) == 1
    assert document["comment"] == "2 messages came when their entry was written already"


# Bounds


@pytest.fixture
def small() -> Iterator[None]:
    """Little is held."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holding, "MAX_HELD", 40_000)
        patch.setattr(holding, "MAX_OF_ONE", 20_000)
        patch.setattr(holding, "MAX_EXCHANGES", 5)
        yield


def data(entry: dict[str, Any]) -> list[int]:
    """The sizes of an entry's messages."""
    return [len(message["data"]) for message in entry["_webSocketMessages"]]


@pytest.mark.usefixtures("small")
def test_what_one_exchange_may_have() -> None:
    it = upgraded(connection())
    [entry] = log(ended(it), *[said(it, b"x" * 5000) for _ in range(5)], said(it, b"y"))["entries"]
    assert data(entry) == [5000, 5000, 1]
    assert entry["_messagesLeftOut"] == 3


@pytest.mark.usefixtures("small")
def test_the_entry_that_was_silent_for_longest_makes_room() -> None:
    them = [upgraded(connection(id=number)) for number in (1, 2, 3)]
    records: list[Record] = []
    for it in them:
        records += [ended(it), said(it, b"x" * 9000)]
    document = log(*records, said(them[0], b"y"), said(them[1], b"z"))
    found = [(entry["_connectionId"], data(entry)) for entry in document["entries"]]
    assert found == [("1", [9000]), ("2", [9000, 1]), ("3", [9000])]
    assert document["comment"] == "1 message came when their entry was written already"


@pytest.mark.usefixtures("small")
def test_exchanges_that_go_on_can_not_make_room() -> None:
    them = [exchange(connection(id=n), request=request(), response=response()) for n in (1, 2, 3)]
    records: list[Record] = [said(it, b"x" * 15_000) for it in them]
    document = log(*records, *[ended(it) for it in them])
    assert [data(entry) for entry in document["entries"][:2]] == [[15_000], [15_000]]
    assert "_webSocketMessages" not in document["entries"][2]
    assert document["entries"][2]["_messagesLeftOut"] == 1


@pytest.mark.usefixtures("small")
def test_an_entry_too_large_to_be_held_is_written_at_once() -> None:
    of = connection()
    it = upgraded(of)
    assert it.request is not None
    it.request.body = bytearray(b"x" * 30_000)
    document = log(ended(it), said(it, b"a"))
    assert len(document["entries"]) == 1
    assert document["comment"] == "1 message came when their entry was written already"


@pytest.mark.usefixtures("small")
def test_exchanges_that_are_held() -> None:
    them = [upgraded(connection(id=number)) for number in range(9)]
    document = log(*[ended(it) for it in them], *[said(it, b"a") for it in them])
    assert [entry["_connectionId"] for entry in document["entries"]] == [str(number) for number in range(9)]
    with_messages = [entry["_connectionId"] for entry in document["entries"] if "_webSocketMessages" in entry]
    left_out = int(document.get("comment", "0").split()[0])
    assert len(with_messages) + left_out == 9


@pytest.mark.usefixtures("small")
def test_what_is_held_is_counted_to_the_last_byte() -> None:
    held = holding.Holding(lambda entry: None, bare=True)
    them = [upgraded(connection(id=number % 3)) for number in range(30)]
    for number, it in enumerate(them):
        held.message(it, "_messages", json.dumps("x" * (number * 997 % 5000)))
        if number % 2:
            held.ended(it, '{"a":1}', goes_on=number % 4 == 1)
        if number % 7 == 0:
            held.closed(it.connection)
        assert held._size <= holding.MAX_HELD
    held.close()
    assert (held._size, held._held, held._waiting, held._of) == (0, {}, {}, {})
