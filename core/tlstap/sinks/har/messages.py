"""Messages that travel in an exchange, as JSON for its entry."""

from __future__ import annotations

import base64
from typing import Literal

from tlstap.records import Direction, ProtocolMessage
from tlstap.sinks.har.body import encoded
from tlstap.sinks.har.entry import missing
from tlstap.sinks.har.message_model import EventSourceMessage, OtherMessage, WebSocketMessage
from tlstap.sinks.har.model import Part

OPCODES = {"text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
_Towards = Literal["send", "receive"]


def message(record: ProtocolMessage, client: Direction) -> tuple[str, Part]:
    """The field of the entry that such messages are a list in, and the message.

    :param client: the direction in which the client's bytes go: those it sends, wherever the trace was made.
    """
    towards: _Towards = "send" if record.direction == client else "receive"
    match record.protocol:
        case "websocket":
            return "_webSocketMessages", _websocket(record, towards)
        case "sse":
            return "_eventSourceMessages", _event(record)
        case _:
            return "_messages", _other(record, towards)


def _websocket(record: ProtocolMessage, towards: _Towards) -> WebSocketMessage:
    opcode = OPCODES.get(record.type, 2)
    is_text = opcode == OPCODES["text"]
    return WebSocketMessage(
        type=towards,
        time=_seconds(record),
        opcode=opcode,
        data=_text(record) if is_text else base64.b64encode(record.payload).decode("ascii"),
        size=_size(record),
        details=record.details or None,
        missing=missing(record.missing),
    )


def _event(record: ProtocolMessage) -> EventSourceMessage:
    details = dict(record.details)
    number = details.pop("id", "")
    return EventSourceMessage(
        time=_seconds(record),
        event_name=record.type,
        event_id=str(number),
        data=_text(record),
        size=_size(record),
        details=details or None,
        missing=missing(record.missing),
    )


def _other(record: ProtocolMessage, towards: _Towards) -> OtherMessage:
    data, encoding = encoded(record.payload, "", cut=record.size > len(record.payload))
    return OtherMessage(
        time=_seconds(record),
        protocol=record.protocol,
        type=record.type,
        direction=towards,
        data=data,
        encoding=encoding,
        size=record.size,
        details=record.details or None,
        missing=missing(record.missing),
    )


def _seconds(record: ProtocolMessage) -> float:
    """Seconds since the epoch, to the microsecond: what a float carries."""
    return round(record.time_ns / 1_000_000_000, 6)


def _text(record: ProtocolMessage) -> str:
    return record.payload.decode("utf-8", "replace")


def _size(record: ProtocolMessage) -> int | None:
    """The size, where not all of it is there."""
    return record.size if record.size > len(record.payload) else None
