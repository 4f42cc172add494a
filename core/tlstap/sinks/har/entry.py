"""An exchange as an entry of a HAR document."""

from __future__ import annotations

from collections.abc import Iterable

from tlstap.records import Connection, Exchange, ExchangeEnded, Message, Role
from tlstap.records import Missing as MissingRecord
from tlstap.schema import Endpoint as KnownEndpoint
from tlstap.sinks.har.body import content, header, post_data, wire_size
from tlstap.sinks.har.clock import moment, timings
from tlstap.sinks.har.cookies import request_cookies, response_cookies
from tlstap.sinks.har.model import (
    Content,
    Endpoint,
    Entry,
    Informational,
    Library,
    Missing,
    NameValue,
    Process,
    Request,
    Response,
    Tls,
    UnknownHeader,
)
from tlstap.sinks.har.url import bare_ip, known_host, query, url
from tlstap.sinks.words.missing import trouble

VERSIONS = {"HTTP/2": "http/2.0"}
"""How readers want it written: Chromium's takes "http/2.0" and "HTTP/2.0" for h2, mitmproxy's "http/2.0" and
"HTTP/2"."""


def entry(record: ExchangeEnded, role: Role | None) -> Entry:
    """The entry of an exchange that ended.

    :param role: of the traced process, which is the connection's if that is known.
    """
    exchange = record.exchange
    connection = exchange.connection
    server = _server(connection, role)
    took = timings(exchange)
    address = bare_ip(server.address) if server is not None else None
    return Entry(
        started_date_time=moment(_started(exchange) or record.time_ns),
        time=took.total,
        request=_request(exchange, known_host(connection.sni, server)),
        response=_response(exchange),
        timings=took,
        server_ip_address=address,
        # The standard wants the port or any id here; browsers write the server's port, and Chromium's reader
        # shows it behind the address.
        connection=str(connection.id if server is None else server.port),
        comment=trouble(exchange, complete=record.complete) or None,
        connection_id=str(connection.id),
        stream_id=exchange.stream_id,
        resource_type=_resource_type(exchange),
        role=role,
        complete=record.complete,
        missing=missing(exchange.missing),
        reset=exchange.reset,
        pushed=True if exchange.pushed else None,
        informational=tuple(_informational(message) for message in exchange.informational) or None,
        process=Process(
            pid=exchange.process.pid,
            comm=exchange.process.comm,
            exe=exchange.process.exe,
            container=exchange.process.container,
            uid=exchange.process.uid,
        ),
        library=Library(
            name=connection.library.name, version=connection.library.version, path=connection.library.path
        ),
        tls=Tls(
            version=connection.tls_version,
            cipher=connection.cipher,
            alpn=connection.alpn,
            sni=connection.sni,
        ),
        local=_endpoint(connection.local),
        remote=_endpoint(connection.remote),
        inferred=True if connection.inferred else None,
    )


def missing(items: Iterable[MissingRecord]) -> tuple[Missing, ...] | None:
    """What lacks; None if nothing does."""
    return tuple(Missing(part=item.part, reason=item.reason, bytes=item.bytes) for item in items) or None


def is_websocket(exchange: Exchange) -> bool:
    """Is it the one with which a WebSocket begins?"""
    request, response = exchange.request, exchange.response
    if request is not None and request.protocol is not None:
        return request.protocol.lower() == "websocket"
    switched = response is not None and response.status == 101
    return switched and header(response, "upgrade").strip().lower() == "websocket" if response else False


def _started(exchange: Exchange) -> int:
    return next(
        (half.start_ns for half in (exchange.request, exchange.response) if half and half.start_ns), 0
    )


def _server(connection: Connection, role: Role | None) -> KnownEndpoint | None:
    return {"client": connection.remote, "server": connection.local, None: None}[role]


def _request(exchange: Exchange, host: str) -> Request:
    message = exchange.request or Message(True, method=None, scheme=None, authority=None, target=None)
    address = url(message, host, websocket=is_websocket(exchange))
    target = message.target
    return Request(
        method=message.method or "",
        url=address,
        http_version=_version(exchange),
        cookies=request_cookies(message.headers),
        headers=_pairs(message.headers),
        query_string=query(address),
        post_data=post_data(message),
        body_size=wire_size(exchange.request, exchange.missing),
        trailers=_pairs(message.trailers) or None,
        unknown_headers=_unknown(message),
        target=target if target is not None and not address.endswith(target) else None,
        protocol=message.protocol,
    )


def _response(exchange: Exchange) -> Response:
    message = exchange.response
    version = _version(exchange)
    if message is None:
        return Response(status=0, http_version=version, content=Content(size=0, mime_type=""))
    size = wire_size(message, exchange.missing)
    return Response(
        status=message.status or 0,
        status_text=message.reason,
        http_version=version,
        cookies=response_cookies(message.headers, message.start_ns),
        headers=_pairs(message.headers),
        content=content(exchange),
        redirect_url=header(message, "location"),
        body_size=size,
        trailers=_pairs(message.trailers) or None,
        unknown_headers=_unknown(message),
        transfer_size=message.body_wire_bytes,
    )


def _version(exchange: Exchange) -> str:
    return VERSIONS.get(exchange.protocol, exchange.protocol)


def _pairs(headers: Iterable[tuple[str, str]]) -> tuple[NameValue, ...]:
    return tuple(NameValue(name=name, value=value) for name, value in headers)


def _unknown(message: Message) -> tuple[UnknownHeader, ...] | None:
    unknown = message.unknown_headers
    return tuple(UnknownHeader(position=it.position, name=it.name, value=it.value) for it in unknown) or None


def _informational(message: Message) -> Informational:
    return Informational(
        status=message.status or 0, status_text=message.reason, headers=_pairs(message.headers)
    )


def _endpoint(endpoint: KnownEndpoint | None) -> Endpoint | None:
    return None if endpoint is None else Endpoint(address=endpoint.address, port=endpoint.port)


def _resource_type(exchange: Exchange) -> str | None:
    """What Chromium's reader can't tell from the content."""
    if is_websocket(exchange):
        return "websocket"
    return "eventsource" if exchange.body_format == "sse" else None
