"""Fields of a protocol buffer that was read without its description: number, wire type, value."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator

from pydantic import JsonValue

from tlstap.sinks.base import OutputOptions
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count
from tlstap.sinks.layout import Segment

_INDENT = "  "


def field_lines(fields: JsonValue, options: OutputOptions) -> Iterator[list[Segment]]:
    """One line for each field, those of messages in it indented below, up to the limit."""
    left = options.max_body
    for line in _lines(fields, 0, options.max_binary):
        if left is not None:
            left -= sum(len(text) for _, text in line)
            if left < 0:
                yield [("note", "[more fields left out; --max-body all shows everything]")]
                return
        yield line


def _lines(fields: JsonValue, depth: int, max_binary: int | None) -> Iterator[list[Segment]]:
    for field in fields if isinstance(fields, list) else ():
        if not isinstance(field, dict):
            continue
        value = field.get("value")
        start: list[Segment] = [
            ("", _INDENT * depth),
            ("key", escape(str(field.get("number")))),
            ("note", f" {escape(str(field.get('type')))}"),
        ]
        if isinstance(value, list):
            yield start
            yield from _lines(value, depth + 1, max_binary)
        else:
            yield [*start, ("", " "), *_value(field, value, max_binary)]


def _value(field: dict[str, JsonValue], value: JsonValue, max_binary: int | None) -> list[Segment]:
    size = field.get("size")
    cut: list[Segment] = [("note", f" [of {count(size, 'byte')}]")] if isinstance(size, int) else []
    if isinstance(value, dict):
        return [*_binary(value.get("base64"), max_binary), *cut]
    if isinstance(value, str):
        return [("string", escape(json.dumps(value, ensure_ascii=False))), *cut]
    also = field.get("float")
    return [
        ("literal", escape(json.dumps(value))),
        ("note", f" or {also}" if isinstance(also, float) else ""),
    ]


def _binary(encoded: JsonValue, max_binary: int | None) -> list[Segment]:
    """Bytes as hexadecimal digits."""
    try:
        data = base64.b64decode(encoded) if isinstance(encoded, str) else b""
    except (binascii.Error, ValueError):
        return [("warning", "[not base64]")]
    shown = data[:max_binary].hex(" ")
    left_out = len(data) - len(data[:max_binary])
    note = f" [{count(left_out, 'byte')} left out]" if left_out else ""
    return [("string", shown), ("note", note)]
