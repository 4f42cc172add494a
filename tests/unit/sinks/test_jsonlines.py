"""JSON lines are events of the schema, safe to look at."""

from __future__ import annotations

import json

from tests.support.samples import (
    NOW,
    connection,
    exchange,
    message,
    process,
    rendered,
    request,
    response,
    whole,
)

from tlstap import schema
from tlstap.records import Closed, Data, Missing, Opened, Record
from tlstap.sinks import jsonlines


def records() -> list[Record]:
    of = connection()
    return [
        Opened(of, of.process, NOW, True),
        Data(of, of.process, NOW, "write", 0, 3, b"\0\x01\xff", "SSL_write", 1000),
        *whole(of, request(), response()),
        Closed(of, of.process, NOW, 1, 2, 0, 0),
    ]


def test_one_event_a_line_numbered_in_order() -> None:
    lines = rendered(jsonlines.SINK, records()).splitlines()
    events = [schema.event_adapter.validate_json(line) for line in lines]
    assert [(event.kind, event.seq) for event in events] == [
        ("open", 0),
        ("data", 1),
        ("http", 2),
        ("close", 3),
    ]
    assert json.loads(lines[1])["data"] == "AAH/"


def test_a_kind_left_out_keeps_its_number() -> None:
    lines = rendered(jsonlines.SINK, records(), kinds=frozenset({"http", "close"})).splitlines()
    assert [(json.loads(line)["kind"], json.loads(line)["seq"]) for line in lines] == [
        ("http", 2),
        ("close", 3),
    ]


def test_messages_of_other_protocols() -> None:
    of = connection()
    it = exchange(of, request=request(method="POST", target="/shop.Cart/Add"), body_format="grpc")
    cut = [Missing("message", "over the limit", 3)]
    lines = rendered(
        jsonlines.SINK,
        [
            message(of, "grpc", "request", b"\x08\xff", details={"n": [1, None]}, exchange=it, stream_id=5),
            message(of, "websocket", "text", b"caf\xc3", size=8, missing=cut, direction="read"),
            message(of, "http2", "SETTINGS"),
        ],
        kinds=frozenset({"message"}),
    ).splitlines()
    events = [schema.event_adapter.validate_json(line) for line in lines]
    assert all(isinstance(event, schema.MessageEvent) for event in events)
    own = ("direction", "protocol", "type", "stream_id", "method", "target", "body", "body_encoding")
    own += ("body_bytes", "details", "missing")
    assert [[json.loads(line)[name] for name in own] for line in lines] == [
        ["write", "grpc", "request", 5, "POST", "/shop.Cart/Add", "CP8=", "base64", 2, {"n": [1, None]}, []],
        [
            *("read", "websocket", "text", None, None, None, "caf", "utf-8", 8, {}),
            [{"part": "message", "reason": "over the limit", "bytes": 3}],
        ],
        ["write", "http2", "SETTINGS", None, None, None, "", "utf-8", 0, {}, []],
    ]
    assert [json.loads(line)["seq"] for line in lines] == [0, 1, 2]


def test_messages_are_safe_to_look_at() -> None:
    evil = "\x1b[2J\x9b\u202e\udc9b"
    sent = message(connection(), evil, evil, evil.encode("utf-8", "replace"), details={evil: evil})
    line = rendered(jsonlines.SINK, [sent])
    assert line.removesuffix("\n").isprintable()
    # Half a surrogate pair can't be written: it is named.
    named = evil.replace("\udc9b", "\\udc9b")
    assert json.loads(line)["details"] == {named: named}


def test_a_terminal_that_shows_the_lines_is_safe() -> None:
    evil = "\x9b2J\u202e\u2028\x7f\U000e0041é"
    of = connection(sni=evil)
    line = rendered(jsonlines.SINK, [Opened(of, of.process, NOW, True)])
    assert "\\u009b2J\\u202e\\u2028\\u007f\\udb40\\udc41é" in line
    assert line.removesuffix("\n").isprintable()
    assert json.loads(line)["connection"]["sni"] == evil


def test_names_that_are_not_utf8_do_not_end_the_trace() -> None:
    odd = process(comm="caf\udce9", exe="/tmp/\udcff")
    of = connection(process=odd)
    event = json.loads(rendered(jsonlines.SINK, [Opened(of, odd, NOW, True)]))
    assert event["process"]["comm"] == "caf\\udce9"
    assert event["process"]["exe"] == "/tmp/\\udcff"
