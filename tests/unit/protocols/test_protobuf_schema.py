"""Protocol buffers with a schema: descriptors as protoc writes them, messages as its JSON form has them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.unit.protocols.protoc import GREETER, descriptors, encoded, write

from tlstap.errors import UsageError
from tlstap.protocols.grpc import protosets
from tlstap.protocols.grpc.content import content_details
from tlstap.protocols.grpc.credit import Credit
from tlstap.protocols.grpc.protosets import read_protosets
from tlstap.protocols.grpc.schema import MAX_MESSAGE, MAX_SMALL, Schema, SchemaError

SERVICE = "service S { rpc Do (In) returns (Out); }"
EVERYTHING = (
    """
syntax = "proto3";
package t;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Colour { NONE = 0; RED = 1; }
message Out {}
message In {
  double a_double = 1; float a_float = 2; int32 an_int32 = 3; int64 an_int64 = 4; uint64 a_uint64 = 5;
  sint32 a_sint32 = 6; fixed64 a_fixed64 = 7; bool a_bool = 8; string a_string = 9; bytes some_bytes = 10;
  Colour colour = 11; repeated int32 packed = 12; map<string, In> by_name = 13; In in = 14;
  oneof choice { string left = 15; string right = 16; }
  google.protobuf.Timestamp at = 17; google.protobuf.Duration during = 18; google.protobuf.Any any = 19;
  google.protobuf.Struct free = 20; google.protobuf.Int64Value wrapped = 21;
  google.protobuf.FieldMask mask = 22; optional int32 zero = 23; double more = 24;
  repeated Colour colours = 25;
}
"""
    + SERVICE
)


def decode(schema: Schema, payload: bytes, path: str = "t.S/Do") -> tuple[Any, int]:
    method = schema.method(*path.split("/"))
    assert method is not None
    return method.decode(payload, is_request=True)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Schema]:
    folder = tmp_path_factory.mktemp("everything")
    write(folder, {"everything.proto": EVERYTHING})
    return folder, Schema([descriptors(folder, "everything.proto")])


def test_every_kind_of_field(everything: tuple[Path, Schema]) -> None:
    folder, schema = everything
    text = """
        a_double: 1.5 a_float: inf an_int32: -1 an_int64: -9007199254740993 a_uint64: 18446744073709551615
        a_sint32: -2 a_fixed64: 9 a_bool: true a_string: "grüße\\n" some_bytes: "\\377\\000" colour: RED
        packed: [1, 2, 3] by_name { key: "k" value { a_bool: true } } in { in { an_int32: 5 } } right: ""
        at { seconds: 1700000000 nanos: 5000000 } during { seconds: -3 }
        any { type_url: "type.googleapis.com/t.In" value: "\\030\\007" }
        free {
          fields { key: "x" value { list_value { values { number_value: 1 } values { null_value: 0 } } } }
        }
        wrapped { value: 7 } mask { paths: "a_double" paths: "in.a_bool" } zero: 0 more: nan
        colours: [RED, 7]
    """
    payload = encoded(folder, "everything.proto", "t.In", text)
    assert decode(schema, payload) == (
        {
            "a_double": 1.5,
            "a_float": "Infinity",
            "an_int32": -1,
            "an_int64": "-9007199254740993",
            "a_uint64": "18446744073709551615",
            "a_sint32": -2,
            "a_fixed64": "9",
            "a_bool": True,
            "a_string": "grüße\n",
            "some_bytes": "/wA=",
            "colour": "RED",
            "packed": [1, 2, 3],
            "by_name": {"k": {"a_bool": True}},
            "in": {"in": {"an_int32": 5}},
            "right": "",
            "at": "2023-11-14T22:13:20.005Z",
            "during": "-3s",
            "any": {"@type": "type.googleapis.com/t.In", "an_int32": 7},
            "free": {"x": [1.0, None]},
            "wrapped": "7",
            "mask": "aDouble,in.aBool",
            "zero": 0,
            "more": "NaN",
            "colours": ["RED", 7],
        },
        0,
    )


def test_defaults_are_what_was_not_sent(everything: tuple[Path, Schema]) -> None:
    assert decode(everything[1], b"") == ({}, 0)


def test_the_response_is_another_message(everything: tuple[Path, Schema]) -> None:
    method = everything[1].method("t.S", "Do")
    assert method is not None
    assert method.decode(b"\x18\x07", is_request=False) == ({}, 2)


def test_proto2_with_groups_and_extensions(tmp_path: Path) -> None:
    proto = """
        syntax = "proto2";
        package t;
        message In { optional group Old = 1 { optional int32 inner = 1; } extensions 100 to 200; }
    """
    write(tmp_path, {"s.proto": proto + SERVICE.replace("Out", "In")})
    write(
        tmp_path,
        {"e.proto": 'syntax = "proto2"; import "s.proto"; extend t.In { optional string extra = 100; }'},
    )
    # The service's file does not import the extension's.
    schema = Schema([descriptors(tmp_path, "s.proto", "e.proto")])
    payload = encoded(tmp_path, "e.proto", "t.In", 'Old { inner: 3 } [extra]: "x"')
    assert decode(schema, payload) == ({"old": {"inner": 3}, "[extra]": "x"}, 0)


# What can't be decoded


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x18", "Error parsing message with type 't.In': Wire format was corrupt"),
        (b"\x4a\x02\xff\xfe", "Error parsing message with type 't.In': String field had bad UTF-8"),
        (b"\x9a\x01\x08\x0a\x06no.One", "Can not find message descriptor by type_url: no.One"),
        # A date behind the year 9999.
        (b"\x8a\x01\x07\x08\xff\xff\xff\xff\xff\x7f", "Failed to serialize at field"),
    ],
)
def test_the_reason(everything: tuple[Path, Schema], payload: bytes, reason: str) -> None:
    with pytest.raises(SchemaError) as caught:
        decode(everything[1], payload)
    assert str(caught.value).startswith(reason)


def test_a_reason_is_one_short_line(everything: tuple[Path, Schema]) -> None:
    folder, schema = everything
    name = "x\\n" * 3000
    payload = encoded(folder, "everything.proto", "t.In", f'any {{ type_url: "{name}" value: "a" }}')
    with pytest.raises(SchemaError) as caught:
        decode(schema, payload)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


def test_any_inside_any_a_thousand_times(everything: tuple[Path, Schema]) -> None:
    payload = b""
    for _ in range(2000):
        payload = _delimited(1, b"x/google.protobuf.Any") + _delimited(2, payload)
    with pytest.raises(SchemaError):
        decode(everything[1], _delimited(19, payload))


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + _varint(number >> 7)


# Details


def details(
    schema: Schema, payload: bytes, credit: Credit | None = None, wire_size: int | None = None
) -> dict[str, Any]:
    method, size = schema.method("t.S", "Do"), wire_size or len(payload)
    return dict(content_details(payload, method, credit or Credit(), is_request=True, wire_size=size))


def test_what_the_schema_does_not_know_is_told(everything: tuple[Path, Schema]) -> None:
    known, unknown = b"\x18\x07", b"\xa8\x06\x01"
    assert details(everything[1], known) == {"message": {"an_int32": 7}}
    assert details(everything[1], known + unknown) == {
        "message": {"an_int32": 7},
        "unknown_bytes": 3,
        "fields": [
            {"number": 3, "type": "varint", "value": 7},
            {"number": 101, "type": "varint", "value": 1},
        ],
    }


def test_a_message_of_another_schema(everything: tuple[Path, Schema]) -> None:
    assert details(everything[1], b"\x4a\x02\xff\xfe") == {
        "schema_error": "Error parsing message with type 't.In': String field had bad UTF-8",
        "fields": [{"number": 9, "type": "len", "value": {"base64": "//4="}}],
    }


def test_no_protocol_buffers(everything: tuple[Path, Schema]) -> None:
    assert details(everything[1], b"hello") == {
        "schema_error": "Error parsing message with type 't.In': Wire format was corrupt"
    }


def test_deep_messages_are_shown_by_fields(everything: tuple[Path, Schema]) -> None:
    payload = b"\x18\x07"
    for _ in range(60):
        payload = _delimited(14, payload)
    assert "message" in details(everything[1], payload)
    found = details(everything[1], _delimited(14, _delimited(14, _delimited(14, _delimited(14, payload)))))
    assert (found["schema_error"], "message" in found) == ("the message is nested too deeply", False)
    assert found["fields"][0]["number"] == 14


TOO_LARGE = "the message is too large"


def test_large_messages_are_shown_by_fields(everything: tuple[Path, Schema]) -> None:
    schema = everything[1]
    text = "x" * (MAX_MESSAGE - 5)
    payload = _delimited(9, text.encode())
    assert len(payload) == MAX_MESSAGE
    assert details(schema, payload) == {"message": {"a_string": text}}
    found = details(schema, payload + b"\x18\x07")
    assert (found["schema_error"], found["fields_cut"]) == (TOO_LARGE, True)
    assert found["fields"][1] == {"number": 3, "type": "varint", "value": 7}


def test_messages_of_many_small_things_are_bounded_more_tightly(everything: tuple[Path, Schema]) -> None:
    schema = everything[1]
    packed = _delimited(12, bytes(MAX_SMALL - 4))
    assert len(packed) == MAX_SMALL
    assert details(schema, packed)["message"]["packed"] == [0] * (MAX_SMALL - 4)
    assert details(schema, packed + b"\x18\x07")["schema_error"] == TOO_LARGE
    # What is long beside them, however deep, does not count.
    long = _delimited(14, _delimited(14, _delimited(10, b"x" * (2 << 20))))
    assert details(schema, packed + long)["schema_error"] == TOO_LARGE
    fewer = _delimited(12, bytes(MAX_SMALL - 100))
    assert set(details(schema, fewer + long)["message"]) == {"packed", "in"}


def test_messages_that_swell_are_not_all_decoded(everything: tuple[Path, Schema]) -> None:
    schema, credit = everything[1], Credit()
    payload = _delimited(12, bytes(1_000_000))
    assert "message" in details(schema, payload, credit, 1000)
    start = time.process_time()
    kept = ["message" in details(schema, payload, credit, 1000) for _ in range(100)]
    # Each costs 100 MB, and brings 3.2.
    assert 2 <= sum(kept) <= 3
    assert time.process_time() - start < 20
    # Those that are not compressed always are.
    assert details(schema, b"\x18\x07", credit) == {"message": {"an_int32": 7}}
    # Large but simple ones cost little.
    fresh = Credit()
    for _ in range(100):
        assert "message" in details(schema, _delimited(9, b"x" * 1_000_000), fresh, 1000)


def test_a_large_message_that_is_refused_costs_as_well(everything: tuple[Path, Schema]) -> None:
    schema, credit = everything[1], Credit()
    payload = b"\x72\x00" * 500_000 + b"\x9a\x01\x08\x0a\x06no.One"
    reasons = [details(schema, payload, credit, 1000)["schema_error"] for _ in range(3)]
    swell = "compressed messages swell too much to decode them all"
    assert reasons == ["Can not find message descriptor by type_url: no.One", swell, swell]


# Sets of files


def sets(content: bytes) -> list[bytes]:
    """Each file of a set as a set of its own."""
    return [
        FileDescriptorSet(file=[file]).SerializeToString()
        for file in FileDescriptorSet.FromString(content).file
    ]


@pytest.fixture
def chain(tmp_path: Path) -> bytes:
    """A set of files of which each one imports the next."""
    write(
        tmp_path,
        {
            "a.proto": f'syntax = "proto3"; package t; import "d/b.proto"; message Out {{}} {SERVICE}',
            "d/b.proto": 'syntax = "proto3"; package t; import "d/c.proto"; message In { C c = 1; }',
            "d/c.proto": 'syntax = "proto3"; package t; message C { string text = 1; }',
        },
    )
    return descriptors(tmp_path, "a.proto")


PAYLOAD = b"\x0a\x03\x0a\x01x"
DECODED: tuple[Any, int] = ({"c": {"text": "x"}}, 0)


def test_files_in_any_order_and_twice(chain: bytes) -> None:
    files = FileDescriptorSet.FromString(chain).file
    assert [file.name for file in files] == ["d/c.proto", "d/b.proto", "a.proto"]
    backwards = FileDescriptorSet(file=[*reversed(files), *files]).SerializeToString()
    for given in ([chain], [backwards], [chain, chain], [chain, backwards]):
        schema = Schema(given)
        assert schema.problems == [""] * len(given)
        assert decode(schema, PAYLOAD) == DECODED


def test_files_that_are_spread_over_sets(chain: bytes) -> None:
    for given in (sets(chain), sets(chain)[::-1]):
        schema = Schema(given)
        assert schema.problems == ["", "", ""]
        assert decode(schema, PAYLOAD) == DECODED


def test_a_set_that_lacks_what_another_one_has_twice(chain: bytes, tmp_path: Path) -> None:
    """Programs with different files of the same name, each with its own meaning of it."""
    write(
        tmp_path / "other",
        {
            "b.proto": f'syntax = "proto3"; package u; import "d/c.proto"; message In {{ t.C c = 1; }} '
            f"message Out {{}} {SERVICE}",
            "d/c.proto": 'syntax = "proto3"; package t; message C { string other = 1; }',
        },
    )
    other = descriptors(tmp_path / "other", "b.proto")
    for given in ([chain, other], [other, chain]):
        schema = Schema(given)
        assert schema.problems == ["", ""]
        assert decode(schema, PAYLOAD) == DECODED
        assert decode(schema, PAYLOAD, "u.S/Do") == ({"c": {"other": "x"}}, 0)


def test_the_same_definitions_in_files_of_two_names(chain: bytes, recwarn: pytest.WarningsRecorder) -> None:
    files = FileDescriptorSet.FromString(chain)
    again = FileDescriptorSet.FromString(chain)
    again.file[2].name = "again.proto"
    schema = Schema([FileDescriptorSet(file=[*files.file, again.file[2]]).SerializeToString()])
    assert decode(schema, PAYLOAD) == DECODED
    assert schema.problems[0].startswith("again.proto: Couldn't build proto file into descriptor pool")
    assert [str(warning.message) for warning in recwarn] == []


def test_well_known_types_need_no_imports(everything: tuple[Path, Schema]) -> None:
    schema = Schema([descriptors(everything[0], "everything.proto", imports=False)])
    assert schema.problems == [""]
    assert decode(schema, b"\x8a\x01\x02\x08\x01") == ({"at": "1970-01-01T00:00:01Z"}, 0)


@pytest.mark.parametrize(
    ("service", "method"),
    [
        ("t.S", "Dont"),
        ("t.T", "Do"),
        ("t.In", "Do"),
        ("S", "Do"),
        ("t.S.Do", "Do"),
        ("", ""),
        ("\0", "\udc80"),
    ],
)
def test_methods_that_are_not_there(everything: tuple[Path, Schema], service: str, method: str) -> None:
    assert everything[1].method(service, method) is None
    assert Schema([]).method(service, method) is None


# Files


def test_files_are_read(chain: bytes, tmp_path: Path) -> None:
    paths = [tmp_path / f"set{number}" for number in range(3)]
    for path, content in zip(paths, sets(chain), strict=True):
        path.write_bytes(content)
    assert read_protosets([paths[0], str(paths[1]), paths[2]]) == tuple(sets(chain))
    assert read_protosets(()) == ()


def refused(*paths: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_protosets(paths)
    return str(caught.value)


REMEDY = "make it with protoc --include_imports --descriptor_set_out=FILE, or grpcurl -protoset-out"


def test_files_that_are_none(chain: bytes, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(chain)
    for number, content in enumerate(
        (b"", GREETER.encode(), chain[:-1], b"\x08\x01", b"\x0a\x00", bytes(100))
    ):
        bad = tmp_path / f"bad{number}"
        bad.write_bytes(content)
        assert refused(good, bad) == f"can't use the protoset {bad}: it is no FileDescriptorSet; {REMEDY}"


def test_a_file_that_lacks_imports(chain: bytes, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(sets(chain)[2])
    assert refused(bad) == (
        f"can't use the protoset {bad}: a.proto: Couldn't build proto file into descriptor pool: "
        f"Depends on file 'd/b.proto', but it has not been loaded; {REMEDY}"
    )


def test_files_that_cant_be_read(tmp_path: Path) -> None:
    assert refused(tmp_path / "x") == f"can't read the protoset {tmp_path / 'x'}: No such file or directory"
    assert refused(tmp_path) == f"can't read the protoset {tmp_path}: Is a directory"


def test_a_file_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protosets, "MAX_SIZE", 3 << 20)
    assert refused(Path("/dev/zero")) == "can't use the protoset /dev/zero: it has more than 3 MiB"


def test_json_has_no_numbers_that_json_lacks(everything: tuple[Path, Schema]) -> None:
    payload = encoded(everything[0], "everything.proto", "t.In", "a_double: nan a_float: -inf")
    assert (
        json.dumps(decode(everything[1], payload)[0], allow_nan=False)
        == '{"a_double": "NaN", "a_float": "-Infinity"}'
    )
