"""What one protobuf message says, for the details of a gRPC message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import JsonValue

from tlstap.protocols.grpc.credit import Credit
from tlstap.protocols.grpc.schema import SchemaError
from tlstap.protocols.grpc.wire import Fields

if TYPE_CHECKING:
    from tlstap.protocols.grpc.schema import Method

_MAX_DEPTH = 64
_NODE = 100


def content_details(
    payload: bytes, method: Method | None, credit: Credit, *, is_request: bool, wire_size: int
) -> dict[str, JsonValue]:
    """ "message" as the method's schema has it, or why that can't be had ("schema_error").

    "fields" is there without a message, and where the schema does not know all of the message's bytes
    ("unknown_bytes"); "fields_cut" says that only some of them are given. None of it if these are no protocol
    buffers.

    :param wire_size: the message's size as it was transferred.
    """
    details: dict[str, JsonValue] = {}
    if method is not None:
        try:
            message, unknown = _decode(payload, method, credit, is_request, wire_size)
        except SchemaError as error:
            details["schema_error"] = str(error)
        else:
            details["message"] = message
            if not unknown:
                return details
            details["unknown_bytes"] = unknown
    fields = Fields(payload)
    if fields.found is not None:
        details["fields"] = fields.found
        if fields.cut:
            details["fields_cut"] = True
    return details


def _decode(
    payload: bytes, method: Method, credit: Credit, is_request: bool, wire_size: int
) -> tuple[JsonValue, int]:
    swollen = len(payload) > wire_size
    if swollen and not credit.earn(wire_size):
        raise SchemaError("compressed messages swell too much to decode them all")
    cost = _NODE * len(payload)
    try:
        message, unknown = method.decode(payload, is_request=is_request)
        cost, depth = measure(message)
    finally:
        if swollen:
            credit.spend(cost)
    if depth > _MAX_DEPTH:
        raise SchemaError("the message is nested too deeply")
    return message, unknown


def measure(value: JsonValue) -> tuple[int, int]:
    """About how many bytes of memory a JSON value takes, and how deeply it is nested."""
    total = depth = 0
    level = [value]
    while level:
        total += len(level) * _NODE
        below: list[JsonValue] = []
        for item in level:
            if isinstance(item, str):
                total += len(item)
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item.values()
        level, depth = below, depth + 1
    return total, depth
