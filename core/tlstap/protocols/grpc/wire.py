"""Protocol buffers without a schema: the fields of a message by number and wire type.

The library decides what is a message. Its UnknownFieldSet makes objects of all fields at once, fifty times
the message's size, so what is shown of them is read here, as far as the bounds go.
"""

from __future__ import annotations

import base64
import math
import struct

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from pydantic import JsonValue

from tlstap.protocols.http.charset import utf8_text

MAX_FIELDS = 1000
"""Fields of one message that are shown, those of its sub-messages included."""
MAX_CONTENT = 64 * 1024
"""Bytes of texts and byte strings of one message that are shown."""
MAX_DEPTH = 16
"""Messages inside messages."""

_VARINT, _I64, _LEN, _GROUP, _END, _I32 = range(6)


class _FullError(Exception):
    """The bounds are reached."""


class _NoMessageError(Exception):
    """The library takes a field of number 0, which no message has."""


def is_message(data: bytes | memoryview) -> bool:
    """Are these bytes a well-formed message?"""
    try:
        Empty().ParseFromString(bytes(data))
    except DecodeError:
        return False
    return True


class Fields:
    """The fields of one message as JSON, in the order in which they were sent; `found` is None if it is none.

    A field is {"number", "type", "value"}. By type the value is:

    - "varint": a number, unsigned;
    - "i64", "i32": likewise, and "float" has the same bytes as a floating-point number, if it is finite;
    - "len": text, if it is printable UTF-8; else the list of the fields, if it is a message; else text with
      line ends and tabs; else {"base64": ...}. What is cut off has "size", the length in bytes;
    - "group": the list of the fields.

    A message may look like text and the other way round: nobody can tell without a schema.
    """

    __slots__ = ("_content", "_left", "cut", "found")

    def __init__(self, payload: bytes) -> None:
        self._left = MAX_FIELDS
        self._content = MAX_CONTENT
        self.cut = False
        """Something was left out: the bounds were reached."""
        self.found: list[JsonValue] | None = self._read(memoryview(payload), MAX_DEPTH)

    def _read(self, data: memoryview, depth: int) -> list[JsonValue] | None:
        """The fields of a message; None if it is none."""
        fields: list[JsonValue] = []
        content, cut = self._content, self.cut
        if not is_message(data):
            return None
        try:
            self._fields(data, 0, fields, depth)
        except _FullError:
            self.cut = True
        except _NoMessageError:
            # The fields that were read still count: reading them took its time.
            self._content, self.cut = content, cut
            return None
        return fields

    def _fields(self, data: memoryview, at: int, fields: list[JsonValue], depth: int) -> int:
        """Read fields from `at` on, to the end of the data or of the group; where that is."""
        while at < len(data):
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            if kind == _END:
                return at
            if not number:
                raise _NoMessageError
            if not self._left:
                raise _FullError
            self._left -= 1
            field: dict[str, JsonValue] = {"number": number}
            fields.append(field)
            match kind:
                case 0:
                    field["type"] = "varint"
                    field["value"], at = _varint(data, at)
                case 1:
                    at = _fixed(field, "i64", data[at : at + 8], "<Q", "<d") + at
                case 5:
                    at = _fixed(field, "i32", data[at : at + 4], "<I", "<f") + at
                case 2:
                    size, at = _varint(data, at)
                    field["type"] = "len"
                    self._delimited(field, data[at : at + size], depth)
                    at += size
                case _:
                    inner: list[JsonValue] = []
                    field["type"], field["value"] = "group", inner
                    if not depth:
                        raise _FullError
                    at = self._fields(data, at, inner, depth - 1)
        return at

    def _delimited(self, field: dict[str, JsonValue], data: memoryview, depth: int) -> None:
        size = len(data)
        head = bytes(data[: self._content])
        text = utf8_text(head, cut=size > len(head))
        if text is None or not text.isprintable():
            fields = self._read(data, depth - 1) if depth else None
            if fields is not None:
                field["value"] = fields
                return
        self._content -= len(head)
        field["value"] = text if text is not None else {"base64": base64.b64encode(head).decode("ascii")}
        if size > len(head):
            field["size"] = size
            self.cut = True


def _fixed(field: dict[str, JsonValue], kind: str, data: memoryview, integer: str, real: str) -> int:
    field["type"] = kind
    field["value"] = struct.unpack(integer, data)[0]
    number: float = struct.unpack(real, data)[0]
    if math.isfinite(number):
        field["float"] = number
    return len(data)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of at most 64 bits, and where it ends. The library has seen that it does."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
