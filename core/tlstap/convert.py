"""Records to events of the schema. The way back, from a saved capture, is `capture.py`."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError

from tlstap import schema
from tlstap.protocols.http.charset import encode_body
from tlstap.records import (
    Closed,
    Connection,
    Data,
    Exchange,
    ExchangeEnded,
    Handshake,
    HeadSeen,
    Lost,
    Message,
    MessageEnded,
    Missing,
    Opened,
    ProtocolMessage,
    Record,
    Undecoded,
)

KIND_OF: dict[type[Record], str | None] = {
    Opened: "open",
    Handshake: "handshake",
    Data: "data",
    Closed: "close",
    Lost: "lost",
    ExchangeEnded: "http",
    ProtocolMessage: "message",
    HeadSeen: None,
    MessageEnded: None,
    Undecoded: None,
}
"""The kind of the event that a record becomes; None for progress records, which become none."""

DECODED_KINDS = frozenset({"http", "message"})
"""Kinds of events for which streams have to be decoded."""


def to_event(record: Record, seq: int) -> schema.Event | None:
    """The event that a record becomes, or None for a progress record.

    Connections are snapshots: what is learnt later does not change an event that was made.
    """
    match record:
        case Data(connection, process, time_ns, direction, offset, length, payload, function, duration_ns):
            return schema.DataEvent(
                time_ns=time_ns,
                seq=seq,
                process=process,
                library=connection.library,
                connection=_snapshot(connection),
                direction=direction,
                offset=offset,
                length=length,
                captured=len(payload),
                data=payload,
                function=function,
                duration_ns=duration_ns,
            )
        case ExchangeEnded():
            return _http_event(record, seq)
        case ProtocolMessage():
            return _message_event(record, seq)
        case Opened(connection):
            return schema.OpenEvent(**_common(record, connection, seq), from_start=record.from_start)
        case Handshake(connection):
            return schema.HandshakeEvent(
                **_common(record, connection, seq), duration_ns=record.duration_ns, ok=record.ok
            )
        case Closed(connection):
            return schema.CloseEvent(
                **_common(record, connection, seq),
                read_bytes=record.read_bytes,
                written_bytes=record.written_bytes,
                read_lost=record.read_lost,
                written_lost=record.written_lost,
            )
        case Lost(connection):
            return schema.LostEvent(
                time_ns=record.time_ns,
                seq=seq,
                process=record.process,
                library=connection.library if connection else None,
                connection=_snapshot(connection) if connection else None,
                count=record.count,
                bytes=record.bytes,
                why=record.why,
            )
        case HeadSeen() | MessageEnded() | Undecoded():
            return None


def to_json(event: schema.Event) -> str:
    """The event as one line of JSON, without the line's end.

    A process name or path that is not UTF-8 has its odd bytes written as \\udcXX.
    """
    try:
        return event.model_dump_json()
    except PydanticSerializationError:
        return schema.event_adapter.validate_python(_without_surrogates(event.model_dump())).model_dump_json()


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_without_surrogates(item) for item in value)
    return value


def _snapshot(connection: Connection) -> schema.Connection:
    return schema.Connection(
        id=connection.id,
        local=connection.local,
        remote=connection.remote,
        inferred=connection.inferred,
        role=connection.role,
        sni=connection.sni,
        alpn=connection.alpn,
        tls_version=connection.tls_version,
        cipher=connection.cipher,
    )


def _common(
    record: Opened | Handshake | ProtocolMessage | Closed, connection: Connection, seq: int
) -> dict[str, Any]:
    return {
        "time_ns": record.time_ns,
        "seq": seq,
        "process": record.process,
        "library": connection.library,
        "connection": _snapshot(connection),
    }


def _http_event(record: ExchangeEnded, seq: int) -> schema.HttpEvent:
    exchange = record.exchange
    connection = exchange.connection
    return schema.HttpEvent(
        time_ns=record.time_ns,
        seq=seq,
        process=exchange.process,
        library=connection.library,
        connection=_snapshot(connection),
        protocol=exchange.protocol,
        stream_id=exchange.stream_id,
        request=_request(exchange.request) if exchange.request else None,
        response=_response(exchange.response) if exchange.response else None,
        informational=tuple(_response(message) for message in exchange.informational),
        timings=_timings(exchange),
        complete=record.complete,
        missing=_missing(exchange.missing),
        pushed=exchange.pushed,
        reset=exchange.reset,
    )


def _message_event(record: ProtocolMessage, seq: int) -> schema.MessageEvent:
    request = record.exchange.request if record.exchange else None
    body, encoding = encode_body(record.payload, cut=record.size > len(record.payload))
    return schema.MessageEvent(
        **_common(record, record.connection, seq),
        protocol=record.protocol,
        direction=record.direction,
        type=record.type,
        stream_id=record.stream_id,
        method=request.method if request else None,
        target=request.target if request else None,
        body=body,
        body_encoding=encoding,
        body_bytes=record.size,
        details=record.details,
        missing=_missing(record.missing),
    )


def _missing(items: list[Missing]) -> tuple[schema.Missing, ...]:
    return tuple(schema.Missing(part=item.part, reason=item.reason, bytes=item.bytes) for item in items)


def _request(message: Message) -> schema.HttpRequest:
    return schema.HttpRequest(
        **_message(message),
        method=message.method,
        scheme=message.scheme,
        authority=message.authority,
        target=message.target,
        protocol=message.protocol,
    )


def _response(message: Message) -> schema.HttpResponse:
    return schema.HttpResponse(**_message(message), status=message.status, reason=message.reason)


def _message(message: Message) -> dict[str, Any]:
    body, encoding = encode_body(message.body, cut=message.body_bytes > len(message.body))
    return {
        "headers": tuple(message.headers),
        "unknown_headers": tuple(
            schema.UnknownHeader(position=header.position, name=header.name, value=header.value)
            for header in message.unknown_headers
        ),
        "body": body,
        "body_encoding": encoding,
        "body_bytes": message.body_bytes,
        "trailers": tuple(message.trailers),
    }


def _timings(exchange: Exchange) -> schema.HttpTimings:
    request, response = exchange.request, exchange.response
    return schema.HttpTimings(
        request_start_ns=(request.start_ns or None) if request else None,
        request_end_ns=request.end_ns if request else None,
        response_start_ns=(response.start_ns or None) if response else None,
        response_end_ns=response.end_ns if response else None,
    )
