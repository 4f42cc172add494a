"""What `-f json` writes is what the JSON Schema says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from tests.support.samples import NOW, connection, exchange, process, rendered, request, response, whole

from tlstap import schema
from tlstap.records import (
    Closed,
    Data,
    ExchangeEnded,
    Handshake,
    Lost,
    Missing,
    Opened,
    ProtocolMessage,
    Record,
)
from tlstap.sinks import jsonlines


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    described = schema.json_schema()
    jsonschema.Draft202012Validator.check_schema(described)
    return jsonschema.Draft202012Validator(described)


def events() -> list[dict[str, Any]]:
    full = connection()
    bare = connection(
        id=9,
        process=process(exe=None),
        local=None,
        remote=None,
        role=None,
        sni=None,
        alpn=None,
        tls_version=None,
        cipher=None,
    )
    broken = exchange(bare, request=request(), missing=[Missing("response", "not seen")])
    records: list[Record] = []
    for of in (full, bare):
        records += [
            Opened(of, of.process, NOW, True),
            Handshake(of, of.process, NOW, 1, True),
            Data(of, of.process, NOW, "read", 0, 2, b"\xff\xfe", "SSL_read", 1),
            *whole(of, request(), response(body=bytearray(b"\xff"))),
            ProtocolMessage(of, of.process, NOW, "read", "websocket", "text", b"\xff", 1, {"code": 1}),
            Lost(of, of.process, NOW, 1, 1, "ring buffer full"),
            Closed(of, of.process, NOW, 1, 2, 3, 4),
        ]
    records += [ExchangeEnded(broken, NOW, False), Lost(None, None, NOW, 1, 1, "ring buffer full")]
    return [json.loads(line) for line in rendered(jsonlines.SINK, records).splitlines()]


def test_every_line_is_valid(validator: jsonschema.Draft202012Validator) -> None:
    written = events()
    assert {event["kind"] for event in written} == set(schema.KINDS) - {"secret"}
    for event in written:
        validator.validate(event)


def test_what_is_no_event_is_invalid(validator: jsonschema.Draft202012Validator) -> None:
    for event in events():
        for field in event:
            # Fields with a default may be absent for readers of JSON, as in pydantic.
            if field in ("seq", "time_ns", "data", "process"):
                shorter = {name: value for name, value in event.items() if name != field}
                assert not validator.is_valid(shorter), f"{event['kind']} without {field}"
        assert not validator.is_valid(event | {"invented": 1})


def test_every_event_says_its_kind_and_version() -> None:
    for event in events():
        assert event["schema_version"] == schema.SCHEMA_VERSION == 1
        assert event["kind"] in schema.KINDS


def test_every_field_that_is_not_plain_from_its_name_is_described() -> None:
    data = schema.json_schema()["$defs"]["DataEvent"]["properties"]
    assert data["offset"]["description"].startswith("Of the first byte")
    assert data["data"]["contentEncoding"] == "base64"
