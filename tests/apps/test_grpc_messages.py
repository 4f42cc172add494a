"""gRPC's messages, in all kinds of calls, with a description of the service and without."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest
from pydantic import JsonValue
from tests.support import http2
from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.ends import plain_environment
from tests.support.exchanges import check_http2
from tests.support.fixtures import RunTlstap
from tests.support.grpc_shop import CLIENT, MESSAGES, PRINTED, SERVER, SERVICE, compile_shop
from tests.support.messages import message_events
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, losses
from tests.support.wheels import module

from tlstap import schema


def text(number: int, value: JsonValue) -> JsonValue:
    """A field with a length, without a description."""
    return {"number": number, "type": "len", "value": value}


def varint(number: int, value: int) -> JsonValue:
    """A field that is a number, without a description; a sint64 is twice its value."""
    return {"number": number, "type": "varint", "value": value}


FIELDS: dict[tuple[int, str, int], list[JsonValue]] = {
    (1, "request", 0): [
        text(1, "small"),
        varint(2, 13),
        text(4, {"base64": "AP8="}),
        {"number": 7, "type": "i64", "value": 0x3FE0_0000_0000_0000, "float": 0.5},
    ],
    (1, "response", 0): [text(1, "got small"), varint(2, 14), text(4, {"base64": "/wA="})],
    (5, "response", 0): [text(1, "all"), *(text(3, [text(1, name)]) for name in "012")],
    (7, "response", 2): [text(1, "list"), varint(2, 4)],
    (9, "response", 0): [text(1, "answer to a"), text(5, [text(1, "of"), varint(2, 1)]), varint(6, 1)],
    (11, "request", 0): [text(1, "none")],
}
"""Some messages without a description: stream, type and position there."""


def unframed(body: bytes) -> list[tuple[bool, bytes]]:
    """A gRPC body's messages, and whether they were compressed."""
    found = []
    while body:
        flag, size = body[0], int.from_bytes(body[1:5], "big")
        assert flag in (0, 1)
        message, body = body[5 : 5 + size], body[5 + size :]
        found.append((flag == 1, gzip.decompress(message) if flag else message))
    return found


@pytest.fixture(params=["described", "unknown"])
def described(request: pytest.FixtureRequest) -> bool:
    """Whether tlstap has the service's description."""
    return bool(request.param == "described")


def test_both_ends(
    tlstap_all_formats: RunTlstap, certificates: Certificates, tmp_path: Path, described: bool
) -> None:
    shop = compile_shop(tmp_path)
    environment = {**plain_environment(tmp_path), "PYTHONPATH": str(tmp_path)}
    python = [sys.executable, "-c"]
    server = c_programs.start([*python, SERVER, certificates.certificate, certificates.key], environment)
    client = c_programs.start([*python, CLIENT, certificates.authority], environment)
    options = ("--protoset", shop.protoset) if described else ()
    with tlstap_all_formats("-p", server.pid, "-p", client.pid, *options) as tracer:
        tracer.wait_traced(module("grpc._cython.cygrpc"))
        server.go()
        client.say(f"127.0.0.1:{server.line()}")
        printed = [client.line() for _ in PRINTED]
        client.say("end")
        client.finish()
        server.say("end")
        server.finish()
    assert printed == PRINTED
    assert losses(tracer.events) == []
    found = connections(tracer.events)
    ends = {end.process.pid: end for end in found}
    at_client, at_server = ends[client.pid], ends[server.pid]
    assert len(found) == 2
    assert at_client.ports == at_server.ports[::-1]
    assert (at_client.written, at_client.read) == (at_server.read, at_server.written)
    check_end(tracer, at_client, {"request": "write", "response": "read"}, described)
    check_end(tracer, at_server, {"request": "read", "response": "write"}, described)


def check_end(tracer: Tracer, end: Traced, directions: dict[str, str], described: bool) -> None:
    """All calls, as one end sees them."""
    exchanges = check_http2(tracer.events, end)
    requests, _ = http2.halves(end.written if directions["request"] == "write" else end.read)
    responses, _ = http2.halves(end.read if directions["request"] == "write" else end.written)
    events = message_events(tracer.events, "grpc", end)

    assert list(exchanges) == [1 + 2 * number for number in range(len(MESSAGES))]
    assert len(events) == sum(len(asked) + len(got) for _, asked, got in MESSAGES)
    for stream, (method, *expected) in zip(exchanges, MESSAGES, strict=True):
        halves = {"request": requests[stream], "response": responses[stream]}
        for (kind, half), messages in zip(halves.items(), expected, strict=True):
            own = [event for event in events if (event.stream_id, event.type) == (stream, kind)]
            assert [event.content for event in own] == [content for _, content in unframed(half.body)]
            assert {(event.direction, event.method, event.target) for event in own} <= {
                (directions[kind], "POST", f"/{SERVICE}/{method}")
            }
            for number, (event, message) in enumerate(zip(own, messages, strict=True)):
                details = dict(event.details)
                assert (details.pop("service"), details.pop("method")) == (SERVICE, method)
                assert details.pop("compressed", False) == unframed(half.body)[number][0]
                if described:
                    assert details == {"message": message}
                else:
                    fields = FIELDS.get((stream, kind, number))
                    assert fields is None or details == {"fields": fields}
                    assert "message" not in details
    assert [unframed(half.body)[0][0] for half in (requests[3], responses[3])] == [True, True]
    check_statuses(list(exchanges.values()))


def check_statuses(exchanges: list[schema.HttpEvent]) -> None:
    """What the calls ended with, metadata included."""
    *others, failed = [event.response for event in exchanges]
    for response in others:
        assert response is not None
        assert dict(response.trailers)["grpc-status"] == "0"
    for response in others[:2]:
        assert response is not None
        assert ("x-start", "get") in response.headers
        assert ("x-end", "get") in response.trailers
    assert failed is not None
    last = dict(failed.headers) | dict(failed.trailers)
    assert (last["grpc-status"], last["grpc-message"]) == ("5", "no such item: %C3%BC 100%25")
