"""Whether what a third party's decoder gives out is what everybody behind it relies on."""

from __future__ import annotations

from pydantic import JsonValue, TypeAdapter, ValidationError

from tlstap.convert import KIND_OF, to_event
from tlstap.protocols.body_formats import Part
from tlstap.records import ExchangeEnded, HeadSeen, MessageEnded, Missing, ProtocolMessage, Undecoded
from tlstap.schema import Process

_DECODED = (HeadSeen, MessageEnded, ExchangeEnded, ProtocolMessage, Undecoded)
_DIRECTIONS = ("read", "write")
_DETAILS = TypeAdapter(dict[str, JsonValue])


def check_record(record: object) -> None:
    """:raises TypeError: it is no record of a decoder's, or one with nonsense in it."""
    if type(record) not in _DECODED:
        raise TypeError(f"gave out {record!r:.60}, which is no record")
    if isinstance(record, ProtocolMessage):
        _check_message(record, record.size)
    if isinstance(record, Undecoded):
        _expect(record, "offset", int)
        _expect(record, "lost_before", int)
    if isinstance(record, ProtocolMessage | Undecoded):
        _expect(record, "process", Process)
        _expect(record, "payload", bytes)
        if record.direction not in _DIRECTIONS:
            raise TypeError(f"gave out the direction {record.direction!r:.60}")
    if KIND_OF[type(record)] is not None:  # type: ignore[index]
        try:
            to_event(record, 0)  # type: ignore[arg-type]
        except Exception as error:
            name = type(record).__name__
            raise TypeError(f"gave out {name} that can't become an event: {_reason(error)}") from None


def check_part(part: object) -> None:
    """:raises TypeError: it is no Part, or one with nonsense in it."""
    if type(part) is not Part:
        raise TypeError(f"gave out {part!r:.60}, which is no Part")
    _check_message(part, part.size)
    _expect(part, "payload", bytes)
    _expect(part, "weight", int)
    try:
        _DETAILS.validate_python(part.details)
    except ValidationError as error:
        raise TypeError(f"gave out Part.details that are not JSON: {_reason(error)}") from None


def _check_message(message: ProtocolMessage | Part, size: int) -> None:
    _expect(message, "type", str)
    _expect(message, "size", int)
    _expect(message, "details", dict)
    _expect(message, "missing", list)
    for one in message.missing:
        if not isinstance(one, Missing):
            raise TypeError(f"gave out {one!r:.60} among what is missing")


def _expect(holder: object, field: str, kind: type) -> None:
    value = getattr(holder, field)
    if not isinstance(value, kind):
        name = f"{type(holder).__name__}.{field}"
        raise TypeError(f"gave out {name} {value!r:.60}, which must be {kind.__name__}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
