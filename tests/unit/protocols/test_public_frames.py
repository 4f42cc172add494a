"""Frames that other people wrote down, right and wrong ones, in the middle of a conversation."""

from __future__ import annotations

import pytest
from hyperframe.frame import HeadersFrame, SettingsFrame
from tests.support.http2_cases import FrameCase, frames
from tests.unit.protocols.conversation import Conversation, exchanges, undecoded

from tlstap.pipeline import Pipeline
from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.http2.decoder import Http2
from tlstap.protocols.http2.errors import error_name, setting_name
from tlstap.protocols.http2.frames import PREFACE
from tlstap.records import Direction, Exchange, ProtocolMessage, Record

GET = bytes.fromhex("8287840101")
KINDS = ("data", "headers", "priority", "rst_stream", "settings", "push_promise", "ping", "goaway")
RIGHT = tuple(f"{kind}/normal" for kind in (*KINDS, "window_update", "continuation"))
AFTER = 101
"""A stream that begins behind the frame."""


def cases() -> dict[str, FrameCase]:
    return {case.name: case for case in frames()}


def exchange_on(talk: Conversation, stream_id: int, *, finished: bool = True) -> None:
    """A request and, if it is to be finished, its response."""
    flags = ["END_STREAM", "END_HEADERS"] if finished else ["END_HEADERS"]
    talk.write(HeadersFrame(stream_id, GET + b"%c" % stream_id, flags=flags).serialize())
    if finished:
        talk.read(HeadersFrame(stream_id, b"\x88", flags=flags).serialize())


def around(case: FrameCase, direction: Direction, opened: int | None = None) -> list[Record]:
    """A conversation with the frame in it and exchanges behind it. `opened` is a stream that is open then."""
    talk = Conversation()
    talk.write(PREFACE + SettingsFrame().serialize()).read(SettingsFrame().serialize())
    if opened is not None:
        exchange_on(talk, opened, finished=False)
    talk.move(direction, case.wire)
    for stream_id in (AFTER, AFTER + 2, AFTER + 4):
        exchange_on(talk, stream_id)
    problems: list[str] = []
    out = talk.run(Pipeline([Http1(), Http2()], on_problem=problems.append))
    assert problems == []
    return out


def found(out: list[Record], stream_id: int) -> Exchange:
    [exchange] = [one for one in exchanges(out) if one.stream_id == stream_id]
    return exchange


def lacks(exchange: Exchange) -> list[tuple[str, str]]:
    return [(item.part, item.reason) for item in exchange.missing]


def test_all_kinds_are_there() -> None:
    right = {name for name, case in cases().items() if not case.is_error}
    assert set(RIGHT) <= right
    assert right - set(RIGHT) == {"headers/priority", "continuation/header"}


@pytest.mark.parametrize("name", [*RIGHT, "headers/priority", "continuation/header"])
def test_what_follows_a_right_frame(name: str) -> None:
    direction: Direction = "read" if name.startswith(("push_promise", "data")) else "write"
    out = around(cases()[name], direction)
    assert undecoded(out, "read") == undecoded(out, "write") == b""
    after = found(out, AFTER)
    assert after.request is not None and after.response is not None
    assert (after.request.method, after.response.status, lacks(after)) == ("GET", 200, [])


def test_data() -> None:
    case = cases()["data/normal"]
    exchange = found(around(case, "read"), case.stream_id)
    assert exchange.response is not None
    assert bytes(exchange.response.body) == case.fields["data"].encode()


@pytest.mark.parametrize("name", ["headers/normal", "headers/priority"])
def test_headers_that_are_no_hpack(name: str) -> None:
    case = cases()[name]
    exchange = found(around(case, "write"), case.stream_id)
    assert ("request headers", "not decodable") in lacks(exchange)


def test_push_promise_that_is_no_hpack() -> None:
    case = cases()["push_promise/normal"]
    exchange = found(around(case, "read"), case.fields["promised_stream_id"])
    assert exchange.pushed
    assert ("request headers", "not decodable") in lacks(exchange)


def test_rst_stream() -> None:
    case = cases()["rst_stream/normal"]
    exchange = found(around(case, "read", case.stream_id), case.stream_id)
    assert exchange.reset == f"{error_name(case.fields['error_code'])} by the server"


def test_goaway() -> None:
    case = cases()["goaway/normal"]
    [message] = [r for r in around(case, "read") if isinstance(r, ProtocolMessage) and r.type == "GOAWAY"]
    assert message.payload == case.fields["additional_debug_data"].encode()
    assert message.details == {
        "last_stream_id": case.fields["last_stream_id"],
        "error": error_name(case.fields["error_code"]),
    }


def test_settings() -> None:
    case = cases()["settings/normal"]
    messages = [r for r in around(case, "write") if isinstance(r, ProtocolMessage) and r.type == "SETTINGS"]
    assert messages[-1].details == {setting_name(number): value for number, value in case.fields["settings"]}


WRONG = (
    *(
        "data-frame-padding",
        "data-frame-size",
        "data-frame-stream",
        "goaway-frame-size",
        "goaway-frame-stream",
    ),
    *("headers-frame-padding", "headers-frame-stream", "ping-frame-size", "ping-frame-stream"),
    *("priority-frame-size", "priority-frame-stream", "push_promise-frame-padding"),
    *("push_promise-frame-promised_stream-odd", "push_promise-frame-promised_stream-zero"),
    *("push_promise-frame-stream", "rst_stream-frame-size", "rst_stream-frame-stream"),
    *("settings-frame-ack-size", "settings-frame-size", "settings-frame-stream"),
    *("window_update-frame-increment", "window_update-frame-size"),
)


def test_all_wrong_frames_are_there() -> None:
    assert {f"error/{name}" for name in WRONG} == {name for name, case in cases().items() if case.is_error}


@pytest.mark.parametrize("direction", ["read", "write"])
# A DATA frame that is too large is taken as it is: what its connection allows may not have been seen.
@pytest.mark.parametrize("name", [name for name in WRONG if name != "data-frame-size"])
def test_what_follows_a_wrong_frame(name: str, direction: Direction) -> None:
    """The requests behind it are found again, and are right."""
    out = around(cases()[f"error/{name}"], direction)
    for stream_id in (AFTER, AFTER + 2, AFTER + 4):
        exchange = found(out, stream_id)
        assert exchange.request is not None and exchange.response is not None
        assert (exchange.request.method, exchange.request.authority) == ("GET", chr(stream_id))
        assert exchange.response.status == 200
