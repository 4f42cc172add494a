"""Nothing that a stranger can name reaches a terminal raw, whatever the field, the format, the width."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.samples import (
    NOW,
    connection,
    exchange,
    library,
    message,
    process,
    rendered,
    request,
    response,
    whole,
)

from tlstap import schema
from tlstap.records import (
    Closed,
    Data,
    ExchangeEnded,
    Handshake,
    Lost,
    Missing,
    Opened,
    Record,
    Undecoded,
    UnknownHeader,
)
from tlstap.sinks.text import sink as text

SGR = re.compile(r"\x1b\[[0-9;]*m")
EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202e\u2028\x7f\udc9b\t[bold red]x[/]"
SHOWN = "\\x1b]0;owned\\x07\\x1b[2J\\r\\n\\x9b31m\\u202e\\u2028\\x7f\\udc9b\\t[bold red]x[/]"


def hostile(evil: str) -> list[Record]:
    """Everything that a stranger can name, named `evil`."""
    of = connection(
        process=process(comm=evil, exe=f"/tmp/{evil}", container=evil),
        library=library(name=evil, version=evil),
        local=schema.Endpoint(address=evil, port=1),
        sni=evil,
        alpn=evil,
        tls_version=evil,
        cipher=evil,
    )
    headers = [(evil, evil), ("Content-Type", evil), ("grpc-status", evil), ("grpc-message", f"%1b[2J{evil}")]
    unknown = [UnknownHeader(0, evil, None), UnknownHeader(1, None, evil)]
    raw = evil.encode("utf-8", "surrogatepass")
    asked = request(method=evil, target=evil, authority=evil, scheme=evil, protocol=evil, headers=headers)
    asked.body, asked.body_bytes, asked.unknown_headers = bytearray(raw), len(raw), unknown
    answered = response(reason=evil, headers=headers, body=bytearray(raw), trailers=headers)
    answered.unknown_headers = unknown
    lost = [Missing("response", "lost")]
    it = exchange(of, protocol=evil, request=asked, response=answered, missing=lost, reset=evil)
    web = exchange(of, protocol="HTTP/2", stream_id=5, request=asked, response=answered, body_format="grpc")
    own = exchange(of, protocol="HTTP/2", stream_id=7, request=asked, response=answered, body_format=evil)
    values = {evil: evil, "code": evil, "error": evil, "last_stream_id": evil, "nested": [evil] * 20}
    fields = [{"number": evil, "type": evil, "value": evil}, {"number": 1, "type": "len", "value": [evil]}]
    return [
        Opened(of, of.process, NOW, True),
        Handshake(of, of.process, NOW, 1, True),
        *whole(of, asked, answered, protocol=evil),
        *whole(of, asked, answered, protocol=evil, stream_id=1, pushed=True),
        ExchangeEnded(it, NOW, False),
        message(of, evil, evil, raw, details=values, exchange=own, stream_id=7),
        message(of, "websocket", evil, raw, exchange=it),
        message(of, "websocket", "close", raw, details={"code": 1000, "reason": evil}),
        message(of, "http2", "GOAWAY", raw, details=values),
        message(of, "http2", "SETTINGS", b"", details=values),
        message(of, "grpc", "request", raw, details={"message": {evil: [evil]}, "schema_error": evil}),
        message(of, "grpc", "request", raw, details={"fields": fields, "service": evil}),
        message(of, "grpc", "trailers", raw, details={"trailers": [[evil, evil]]}, exchange=web),
        ExchangeEnded(web, NOW, True),
        ExchangeEnded(own, NOW, True),
        Undecoded(of, of.process, NOW, "read", 0, raw, stream_id=9),
        Data(of, of.process, NOW, "read", 0, len(raw), raw, evil, 1),
        Lost(of, of.process, NOW, 1, 1, evil),
        Lost(None, None, NOW, 1, 1, evil),
        Closed(of, of.process, NOW, 1, 1, 0, 0),
    ]


def dangerous(shown: str) -> set[str]:
    """What a terminal would act on, apart from the line ends that tlstap itself writes."""
    return {c for c in shown if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("options", [{}, {"summary": True}, {"kinds": frozenset({"data", "message"})}])
@pytest.mark.parametrize("width", [None, 80])
def test_nothing_hostile_reaches_the_terminal(
    color: bool, options: dict[str, Any], width: int | None
) -> None:
    shown = SGR.sub("", rendered(text.SINK, hostile(EVIL), color=color, width=width, **options))
    assert dangerous(shown) == set()
    assert SHOWN in re.sub(r"\n {4}", "", shown)


@given(st.text(st.characters(), max_size=30))
def test_no_name_whatever_reaches_the_terminal_raw(evil: str) -> None:
    for options in ({}, {"summary": True}):
        assert dangerous(rendered(text.SINK, hostile(evil), width=80, **options)) == set()


def test_what_is_escaped_is_shown() -> None:
    """Escaping is not leaving out."""
    of = connection(sni=None)
    asked = request(target="/x")
    it = exchange(of, request=asked, stream_id=1, protocol="HTTP/2")
    shown = rendered(
        text.SINK,
        [
            message(of, "one\x1b", "two\x1b", b"three\x1b", details={"four\x1b": "five\x1b"}, exchange=it),
            message(of, "http2", "GOAWAY", b"six\x1b", details={"error": "seven\x1b"}),
        ],
    )
    for word in ("one", "two", "four", "five", "six", "seven"):
        assert f"{word}\\x1b" in shown.replace("\\u001b", "\\x1b")
