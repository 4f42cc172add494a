"""Protocol buffers without a schema: the encoding guide's examples, bounds, any bytes."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.protocols.protoc import encoded, write

from tlstap.protocols.grpc.wire import MAX_CONTENT, MAX_DEPTH, MAX_FIELDS, Fields


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def delimited(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def fields(payload: bytes) -> Any:
    found = Fields(payload)
    assert not found.cut
    return found.found


def number(of: int, value: int) -> dict[str, Any]:
    return {"number": of, "type": "varint", "value": value}


def length(of: int, value: object) -> dict[str, Any]:
    return {"number": of, "type": "len", "value": value}


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        # https://protobuf.dev/programming-guides/encoding/
        ("08 96 01", [number(1, 150)]),
        ("12 07 74 65 73 74 69 6e 67", [length(2, "testing")]),
        ("1a 03 08 96 01", [length(3, [number(1, 150)])]),
        ("22 05 68 65 6c 6c 6f 28 01 28 02 28 03", [length(4, "hello"), *(number(5, n) for n in (1, 2, 3))]),
        ("08 fe ff ff ff ff ff ff ff ff 01", [number(1, 2**64 - 2)]),
        ("43 08 96 01 44", [{"number": 8, "type": "group", "value": [number(1, 150)]}]),
        # Packed numbers have no form of their own, these are no text and no message: 3, 270, 86942.
        ("32 06 03 8e 02 9e a7 05", [length(6, {"base64": "A44CnqcF"})]),
        ("", []),
        ("0d 00 00 c0 3f", [{"number": 1, "type": "i32", "value": 0x3FC00000, "float": 1.5}]),
        ("09 00 00 00 00 00 00 04 c0", [{"number": 1, "type": "i64", "value": 0xC004 << 48, "float": -2.5}]),
        ("0d 00 00 c0 7f", [{"number": 1, "type": "i32", "value": 0x7FC00000}]),
        ("09 00 00 00 00 00 00 f0 ff", [{"number": 1, "type": "i64", "value": 0xFFF0 << 48}]),
        ("0a 00", [length(1, "")]),
        ("f8 ff ff ff 0f 00", [number(2**29 - 1, 0)]),
        ("88 80 00 81 00", [number(1, 1)]),
    ],
)
def test_fields(wire: str, expected: list[Any]) -> None:
    assert fields(bytes.fromhex(wire)) == expected


@pytest.mark.parametrize(
    "wire",
    [
        "08",
        "08 96",
        "12 07 74",
        "00 01",
        "07",
        "0c",
        "0b 08 96 01",
        "0b 08 96 01 14",
        "0d 00 00 c0",
        "09 00 00 00 00 00 00 04",
        "08 ff ff ff ff ff ff ff ff ff ff 01",
        "12 ff ff ff ff 0f",
        "68 65 6c 6c 6f",
    ],
)
def test_no_message(wire: str) -> None:
    assert fields(bytes.fromhex(wire)) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("grüße".encode(), "grüße"),
        # Text with line ends, though a shorter one could be a message.
        (b"one\ntwo\tthree\r\n", "one\ntwo\tthree\r\n"),
        (b"\n\x05hello", [length(1, "hello")]),
        # A message that consists of text and line ends only.
        (delimited(1, b"x" * 40), [length(1, "x" * 40)]),
        (b"\x07\x1b[0m", {"base64": "BxtbMG0="}),
        (b"\xff\xfe", {"base64": "//4="}),
        # No message has a field of number 0.
        (b"\x08\x01\x00\x01", {"base64": "CAEAAQ=="}),
    ],
)
def test_text_or_message_or_bytes(content: bytes, expected: object) -> None:
    assert fields(delimited(1, content)) == [length(1, expected)]


def test_what_protoc_encodes(tmp_path: Path) -> None:
    proto = """
        syntax = "proto2";
        message Everything {
          optional uint64 u = 1; optional sint32 z = 2; optional bool b = 3; optional fixed64 f = 4;
          optional float r = 5; optional string s = 6; optional Everything m = 7;
          repeated string many = 8; optional group Old = 9 { optional int32 inner = 10; }
        }
    """
    write(tmp_path, {"everything.proto": proto})
    text = """
        u: 18446744073709551615 z: -1 b: true f: 7 r: 0.25 s: "text" m { m { s: "deep" } }
        many: "a" many: "b" Old { inner: 5 }
    """
    assert fields(encoded(tmp_path, "everything.proto", "Everything", text)) == [
        number(1, 2**64 - 1),
        number(2, 1),
        number(3, 1),
        {"number": 4, "type": "i64", "value": 7, "float": 3.5e-323},
        {"number": 5, "type": "i32", "value": 0x3E800000, "float": 0.25},
        length(6, "text"),
        length(7, [length(7, [length(6, "deep")])]),
        length(8, "a"),
        length(8, "b"),
        {"number": 9, "type": "group", "value": [number(10, 5)]},
    ]


# Bounds


def test_many_fields_are_cut() -> None:
    start = time.process_time()
    found = Fields(b"\x08\x01" * (4 << 20))
    assert found.found == [number(1, 1)] * MAX_FIELDS
    assert found.cut
    assert time.process_time() - start < 5


def test_as_many_fields_as_there_may_be_are_not_cut() -> None:
    assert fields(b"\x08\x01" * MAX_FIELDS) == [number(1, 1)] * MAX_FIELDS


def test_fields_of_sub_messages_count() -> None:
    found = Fields(delimited(1, b"\x08\x01" * (MAX_FIELDS - 2)) + b"\x10\x02\x10\x03")
    assert found.found == [length(1, [number(1, 1)] * (MAX_FIELDS - 2)), number(2, 2)]
    assert found.cut


def test_long_values_are_cut() -> None:
    found = Fields(
        delimited(1, b"a" * 50_000) + delimited(2, b"\xff" * 50_000) + delimited(3, b"b") + b"\x20\x01"
    )
    first, second, third, fourth = found.found or []
    assert first == length(1, "a" * 50_000)
    assert isinstance(second, dict)
    assert isinstance(second["value"], dict)
    assert second["size"] == 50_000
    shown = MAX_CONTENT - 50_000
    assert second["value"] == {"base64": "////" * (shown // 3) + ("", "/w==", "//8=")[shown % 3]}
    assert third == length(3, "") | {"size": 1}
    assert (fourth, found.cut) == (number(4, 1), True)


def test_text_is_cut_between_characters() -> None:
    found = Fields(delimited(1, "€".encode() * MAX_CONTENT))
    assert found.found == [length(1, "€" * (MAX_CONTENT // 3)) | {"size": 3 * MAX_CONTENT}]
    assert found.cut


def test_depth_of_messages() -> None:
    payload = b"\x08\x01"
    for _ in range(MAX_DEPTH):
        payload = delimited(1, payload)
    found: Any = fields(payload)
    for _ in range(MAX_DEPTH):
        (field,) = found
        found = field["value"]
    assert found == [number(1, 1)]
    found = fields(delimited(1, payload))
    for _ in range(MAX_DEPTH):
        (field,) = found
        found = field["value"]
    assert found == [length(1, {"base64": "CAE="})]


def test_depth_of_groups() -> None:
    found = Fields(b"\x0b" * 90 + b"\x0c" * 90 + b"\x08\x01")
    assert found.cut
    assert json.dumps(found.found).count("group") == MAX_DEPTH + 1
    # More than the library takes.
    assert Fields(b"\x0b" * 5000 + b"\x0c" * 5000).found is None


def test_a_large_message_inside_many() -> None:
    payload = b"\x08\x01" * (8 << 20)
    for _ in range(MAX_DEPTH - 1):
        payload = delimited(1, payload)
    start = time.process_time()
    found = Fields(payload)
    assert found.cut
    assert json.dumps(found.found).count("varint") == MAX_FIELDS - (MAX_DEPTH - 1)
    assert time.process_time() - start < 10


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"\x0a\x02", b"\x0b", b"\x0c", b"\x08\x01", b"\xff"])).map(b"".join)
)
def test_any_bytes(payload: bytes) -> None:
    found = Fields(payload)
    assert not found.cut
    assert len(json.dumps(found.found, allow_nan=False)) < 200 + 100 * len(payload)


MESSAGES = st.recursive(
    st.builds(lambda n, v: varint(n << 3) + varint(v), st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1))
    | st.builds(delimited, st.integers(1, 99), st.binary(max_size=30))
    | st.builds(lambda n, v: varint(n << 3 | 5) + v, st.integers(1, 99), st.binary(min_size=4, max_size=4))
    | st.builds(lambda n, v: varint(n << 3 | 1) + v, st.integers(1, 99), st.binary(min_size=8, max_size=8)),
    lambda inner: (
        st.builds(delimited, st.integers(1, 99), st.lists(inner).map(b"".join))
        | st.builds(
            lambda n, v: varint(n << 3 | 3) + b"".join(v) + varint(n << 3 | 4),
            st.integers(1, 99),
            st.lists(inner),
        )
    ),
    max_leaves=8,
)


def test_what_turns_out_to_be_no_message_takes_no_time_again_and_again() -> None:
    inner = b"\x08\x01" * 900 + b"\x00\x01"
    start = time.process_time()
    found = Fields(delimited(1, inner) * 10_000)
    assert found.cut
    first, *_, last = found.found or []
    assert first == length(1, {"base64": base64.b64encode(inner).decode()})
    assert last == length(1, [number(1, 1)] * (MAX_FIELDS - 902))
    assert time.process_time() - start < 5


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=5))
def test_every_message_is_read(parts: list[bytes]) -> None:
    found = fields(b"".join(parts))
    assert len(found) == len(parts)
    assert [fields(part) for part in parts] == [[field] for field in found]
