"""Records become events; saved events become records again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue
from tests.support.samples import (
    MS,
    NOW,
    connection,
    exchange,
    library,
    process,
    rendered,
    request,
    response,
    whole,
)

from tlstap import capture, schema
from tlstap.capture import CaptureReader, from_events, read_lines
from tlstap.convert import to_event, to_json
from tlstap.errors import CaptureError
from tlstap.records import (
    Closed,
    Data,
    ExchangeEnded,
    Handshake,
    HeadSeen,
    Lost,
    MessageEnded,
    Missing,
    Opened,
    ProtocolMessage,
    Record,
    TraceRecord,
    Undecoded,
)
from tlstap.sinks import jsonlines


def trace() -> list[TraceRecord]:
    """One of each kind, for two connections and for none."""
    one, two = connection(), connection(id=4, local=None, remote=None, sni=None, role=None, inferred=True)
    return [
        Opened(one, one.process, NOW, True),
        Opened(two, two.process, NOW + 1, False),
        Handshake(one, one.process, NOW + 2, 12, False),
        Data(one, process(tid=9), NOW + 3, "write", 0, 4, b"\0ab\xff", "SSL_write", 7),
        Data(two, two.process, NOW + 4, "read", 16384, 40000, b"partly", "gnutls_record_recv", 8),
        Lost(one, one.process, NOW + 5, 2, 300, "ring buffer full"),
        Lost(None, None, NOW + 6, 1, 0, "ring buffer full"),
        Closed(one, one.process, NOW + 7, 1, 2, 3, 4),
    ]


def saved(records: Iterable[Record]) -> list[bytes]:
    return rendered(jsonlines.SINK, records).encode().splitlines(keepends=True)


def test_data() -> None:
    of = connection()
    event = to_event(Data(of, process(tid=9), NOW, "read", 5, 10, b"abc", "SSL_read", 7), 42)
    assert event == schema.DataEvent(
        time_ns=NOW,
        seq=42,
        process=process(tid=9),
        library=library(),
        connection=schema.Connection(
            id=3,
            local=schema.Endpoint(address="10.0.0.2", port=51034),
            remote=schema.Endpoint(address="192.0.2.7", port=443),
            inferred=False,
            role="client",
            sni="example.com",
            alpn="http/1.1",
            tls_version="TLSv1.3",
            cipher="TLS_AES_256_GCM_SHA384",
        ),
        direction="read",
        offset=5,
        length=10,
        captured=3,
        data=b"abc",
        function="SSL_read",
        duration_ns=7,
    )


def test_an_exchange() -> None:
    it = exchange(
        connection(),
        protocol="HTTP/2",
        stream_id=5,
        request=request(body=bytearray(b"\xff\0"), trailers=[("a", "b")]),
        response=response(start_ns=0, end_ns=None),
        informational=[response(status=103, reason="Early Hints", body=bytearray(), headers=[])],
        missing=[Missing("response body", "lost", 17)],
    )
    event = to_event(ExchangeEnded(it, NOW, False), 0)
    assert isinstance(event, schema.HttpEvent)
    written = json.loads(event.model_dump_json())
    assert written["request"] == {
        "headers": [["Host", "example.com"], ["Accept", "*/*"]],
        "unknown_headers": [],
        "body": "/wA=",
        "body_encoding": "base64",
        "body_bytes": 2,
        "trailers": [["a", "b"]],
        "method": "GET",
        "scheme": "https",
        "authority": "example.com",
        "target": "/index.html",
        "protocol": None,
    }
    assert written["response"]["body"] == "hello\n"
    assert written["response"]["body_encoding"] == "utf-8"
    assert written["informational"][0]["status"] == 103
    assert written["timings"] == {
        "request_start_ns": NOW,
        "request_end_ns": NOW,
        "response_start_ns": None,
        "response_end_ns": None,
    }
    assert written["missing"] == [{"part": "response body", "reason": "lost", "bytes": 17}]
    assert (written["complete"], written["stream_id"], written["protocol"]) == (False, 5, "HTTP/2")
    assert event.request is not None and event.request.content == b"\xff\0"


def test_an_exchange_of_which_half_is_unknown() -> None:
    event = to_event(ExchangeEnded(exchange(connection(), response=response()), NOW, False), 0)
    assert isinstance(event, schema.HttpEvent)
    assert event.request is None
    assert event.timings.request_start_ns is None
    assert event.timings.response_start_ns == NOW + 20 * MS


def test_a_body_that_was_cut_inside_a_character_is_still_text() -> None:
    cut = response(body=bytearray("zwölf".encode()[:3]), body_bytes=6)
    event = to_event(ExchangeEnded(exchange(connection(), response=cut), NOW, False), 0)
    assert isinstance(event, schema.HttpEvent) and event.response is not None
    assert (event.response.body, event.response.body_bytes) == ("zw", 6)


def test_progress_is_no_event() -> None:
    it = exchange(connection(), request=request())
    of = it.connection
    assert to_event(HeadSeen(it, request(), "write", NOW), 0) is None
    assert to_event(MessageEnded(it, request(), "write", NOW), 0) is None
    assert to_event(Undecoded(of, of.process, NOW, "read", 0, b"x"), 0) is None


def test_an_event_does_not_change_with_its_connection() -> None:
    of = connection(sni=None)
    event = to_event(Opened(of, of.process, NOW, True), 0)
    of.sni = "later.example"
    assert isinstance(event, schema.OpenEvent)
    assert event.connection.sni is None


def test_there_and_back_every_byte_is_the_same() -> None:
    lines = saved(trace())
    assert saved(from_events(lines)) == lines
    assert [json.loads(line)["seq"] for line in lines] == list(range(8))


def test_what_is_read_back_equals_what_was_saved() -> None:
    def plain(record: TraceRecord) -> dict[str, Any]:
        fields = {name: getattr(record, name) for name in record.__slots__}
        of = fields.pop("connection")
        return {"type": type(record), "connection": of and of.id} | fields

    assert [plain(r) for r in from_events(saved(trace()))] == [plain(r) for r in trace()]


def test_the_records_of_a_connection_share_it_and_later_events_complete_it() -> None:
    of = connection(remote=None, sni=None)
    lines = saved([Opened(of, of.process, NOW, True)])
    of.remote, of.sni = schema.Endpoint(address="192.0.2.9", port=1), "found.example"
    lines += saved([Data(of, of.process, NOW, "read", 0, 1, b"x", "SSL_read", 1)])
    records = from_events(lines)
    opened = next(records)
    assert opened.connection is not None and opened.connection.remote is None
    data = next(records)
    assert data.connection is opened.connection
    assert (data.connection.sni, data.connection.remote) == ("found.example", of.remote)


def test_after_its_end_a_number_is_a_new_connection() -> None:
    of = connection()
    lines = saved([Closed(of, of.process, NOW, 0, 0, 0, 0), Opened(of, of.process, NOW, True)])
    closed, opened = from_events(lines)
    assert closed.connection is not opened.connection


def test_exchanges_are_left_for_the_decoders_but_their_time_counts() -> None:
    of = connection()
    reader = CaptureReader(saved([*trace()[:1], *whole(of, request(), response())]))
    assert [type(record) for record in reader] == [Opened]
    assert reader.last_time_ns == NOW + 21 * MS


def test_connections_of_a_capture_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MAX_CONNECTIONS", 2)
    made = [connection(id=number) for number in (1, 2, 3, 1)]
    records = list(from_events(saved([Opened(of, of.process, NOW, True) for of in made])))
    first, _, _, again = [record.connection for record in records]
    assert first is not again


def _change(**fields: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda event: json.dumps(event | fields).encode() + b"\n"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda event: b"{]\n", "is not an event of tlstap (Invalid JSON"),
        (lambda event: b"\xff\xfe\n", "is not an event of tlstap (Invalid JSON"),
        (lambda event: json.dumps(event).encode()[:50], "is cut off"),
        (lambda event: b"[]\n", "is not an event of tlstap (Input should be"),
        (lambda event: b'{"log":{}}\n', "is not an event of tlstap (Unable to extract tag"),
        (_change(kind="unheard"), "is not an event of tlstap (Input tag 'unheard'"),
        (
            _change(schema_version=2),
            "(schema_version: this tlstap reads version 1; a newer one may be needed)",
        ),
        (_change(offset="x"), "is not an event of tlstap (offset: Input should be a valid integer"),
        (_change(data="?"), "is not an event of tlstap (data: Value error, not base64"),
        (_change(captured=3), "contradicts itself (offset 0, length 4, captured 3, but 4 bytes of data)"),
        (_change(length=3), "contradicts itself (offset 0, length 3, captured 4"),
        (_change(offset=-1), "contradicts itself (offset -1"),
        (_change(more=1), "is not an event of tlstap (more: Extra inputs are not permitted"),
    ],
)
def test_a_bad_line_is_named_after_what_is_before_it(
    spoil: Callable[[dict[str, Any]], bytes], reason: str
) -> None:
    lines = saved(trace())
    reader = iter(CaptureReader([lines[0], b"\n", spoil(json.loads(lines[3]))], "the.json"))
    assert isinstance(next(reader), Opened)
    with pytest.raises(CaptureError) as caught:
        next(reader)
    assert str(caught.value).startswith("the.json, line 3 ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_on_a_connection_of_nobody_is_refused() -> None:
    event = json.loads(saved(trace())[5]) | {"process": None}
    with pytest.raises(CaptureError, match="a connection without process or library"):
        list(from_events([json.dumps(event).encode()]))


@given(st.lists(st.binary(min_size=1, max_size=20)), st.binary(max_size=20))
def test_lines_come_whole_whatever_the_pieces(pieces: list[bytes], last: bytes) -> None:
    given_ = iter([*pieces, *([last] if last else []), b""])
    lines = list(read_lines(lambda: next(given_), "x"))
    assert b"".join(lines) == b"".join(pieces) + last
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(b"\n" not in line[:-1] for line in lines)


def test_lines_come_before_more_is_read() -> None:
    calls = 0

    def read() -> bytes:
        nonlocal calls
        calls += 1
        return b"one\ntwo\nthr"

    lines = read_lines(read, "x")
    assert [next(lines), next(lines), calls] == [b"one\n", b"two\n", 1]
    assert [next(lines), calls] == [b"throne\n", 2]


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MAX_LINE", 100)
    with pytest.raises(CaptureError, match=r"^the\.bin has a line of more than 100 bytes"):
        list(read_lines(lambda: bytes(64), "the.bin"))


def test_a_message_with_odd_characters() -> None:
    """What a decoder puts into details is JSON, whatever the bytes were."""
    details: dict[str, JsonValue] = {"a": ["\udcff", {"b\udc00": 1}], "nan": float("nan")}
    one = connection()
    record = ProtocolMessage(one, one.process, NOW, "read", "redis", "reply", b"\xff", 3, details)
    event = json.loads(to_json(schema.event_adapter.validate_python(to_event(record, 7))))
    assert (event["kind"], event["seq"], event["protocol"], event["type"]) == ("message", 7, "redis", "reply")
    assert (event["body"], event["body_encoding"], event["body_bytes"]) == ("/w==", "base64", 3)
    assert event["details"] == {"a": ["\\udcff", {"b\\udc00": 1}], "nan": None}
