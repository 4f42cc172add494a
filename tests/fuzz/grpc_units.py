"""gRPC as fuzzers put it together, and a schema for it."""

from __future__ import annotations

import base64
from struct import pack

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from hpack import Encoder
from hyperframe.frame import HeadersFrame

from tests.fuzz import http2_units
from tests.fuzz.script import Move

_REQUEST = (
    *((":method", "POST"), (":scheme", "https"), (":path", "/fuzz.Service/Call"), (":authority", "h")),
    *(("content-type", "application/grpc"), ("grpc-encoding", "gzip"), ("te", "trailers")),
)
_RESPONSE = ((":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip"))

PRELUDE = (
    *http2_units.PRELUDE,
    Move("write", HeadersFrame(1, Encoder().encode(_REQUEST), flags=["END_HEADERS"]).serialize()),
    Move("read", HeadersFrame(1, Encoder().encode(_RESPONSE), flags=["END_HEADERS"]).serialize()),
)


def data(payload: bytes) -> bytes:
    """A DATA frame of the call."""
    return http2_units.raw_frame(0, 0, 1, payload)


def prefixed(flags: int, payload: bytes) -> bytes:
    """A message of a gRPC body."""
    return pack(">BI", flags, len(payload)) + payload


def message(payload: bytes) -> bytes:
    """A DATA frame with a message, of which the first byte are the flags."""
    return data(prefixed(payload[0] if payload else 0, payload[1:]))


def plain_message(payload: bytes) -> bytes:
    """A DATA frame with a message that is not compressed."""
    return data(prefixed(0, payload))


def text(payload: bytes) -> bytes:
    """A message of gRPC-Web's text form, of which the first byte are the flags."""
    return base64.b64encode(prefixed(payload[0] if payload else 0, payload[1:]))


def protoset() -> bytes:
    """A schema with a bit of everything: the call's messages hold themselves, maps, enums and numbers."""
    files = FileDescriptorSet()
    file = files.file.add(name="fuzz.proto", package="fuzz", syntax="proto3")
    kind = file.enum_type.add(name="Kind")
    kind.value.add(name="NONE", number=0)
    kind.value.add(name="ONE", number=1)
    node = file.message_type.add(name="Node")
    entry = node.nested_type.add(name="PairsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=FieldDescriptorProto.TYPE_STRING)
    entry.field.add(
        name="value", number=2, label=1, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=".fuzz.Node"
    )
    for number, (name, kind_number, label, type_name) in enumerate(
        (
            ("child", FieldDescriptorProto.TYPE_MESSAGE, 1, ".fuzz.Node"),
            ("children", FieldDescriptorProto.TYPE_MESSAGE, 3, ".fuzz.Node"),
            ("text", FieldDescriptorProto.TYPE_STRING, 1, ""),
            ("raw", FieldDescriptorProto.TYPE_BYTES, 1, ""),
            ("numbers", FieldDescriptorProto.TYPE_SINT64, 3, ""),
            ("real", FieldDescriptorProto.TYPE_DOUBLE, 1, ""),
            ("reals", FieldDescriptorProto.TYPE_FLOAT, 3, ""),
            ("kind", FieldDescriptorProto.TYPE_ENUM, 1, ".fuzz.Kind"),
            ("flag", FieldDescriptorProto.TYPE_BOOL, 1, ""),
            ("fixed", FieldDescriptorProto.TYPE_FIXED32, 3, ""),
            ("pairs", FieldDescriptorProto.TYPE_MESSAGE, 3, ".fuzz.Node.PairsEntry"),
        ),
        start=1,
    ):
        node.field.add(name=name, number=number, label=label, type=kind_number, type_name=type_name or None)
    method = file.service.add(name="Service").method
    method.add(name="Call", input_type=".fuzz.Node", output_type=".fuzz.Node")
    return files.SerializeToString()
