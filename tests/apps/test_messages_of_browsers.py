"""Chromium and Firefox: WebSockets over HTTP/1.1 and over HTTP/2, and server-sent events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue
from tests.support import chromium, firefox, nss
from tests.support.certificates import Certificates
from tests.support.exchanges import by_stream
from tests.support.fixtures import RunTlstap
from tests.support.http2_server import Http2Server, run_http2_server
from tests.support.mapped import mapped
from tests.support.messages import Shown, message_events, seen_by_peer, shown
from tests.support.talking_page import BINARY, CODE, REASON, TEXT, TITLE, TalkingPage
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, http_events, losses
from tests.support.websocket import run_echo_server

from tlstap import schema

COMPRESSED: dict[str, JsonValue] = {"compressed": True}
CLOSING: dict[str, JsonValue] = {"code": CODE, "reason": REASON}
TALK = [
    *(("text", TEXT.encode(), COMPRESSED), ("binary", BINARY, COMPRESSED)),
    *(("text", b"again " * 1000, COMPRESSED), ("close", REASON.encode(), CLOSING)),
]
"""What a browser sends on a WebSocket, and gets back."""
EVENTS = [
    Shown("read", "message", b"first"),
    Shown("read", "news", "\u00fcber".encode(), {"id": "2"}),
    Shown("read", "end", b"last", {"id": "2"}),
]


@pytest.fixture
def other(certificates: Certificates) -> Iterator[int]:
    """The port of the WebSocket server for HTTP/1.1."""
    with run_echo_server(certificates) as port:
        yield port


@pytest.fixture
def page(other: int) -> TalkingPage:
    return TalkingPage(f"wss://127.0.0.1:{other}/other")


@pytest.fixture
def server(certificates: Certificates, page: TalkingPage) -> Iterator[Http2Server]:
    with run_http2_server(certificates, page) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder for whatever a browser writes."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_chromium(
    tlstap_all_formats: RunTlstap, page: TalkingPage, server: Http2Server, other: int, home: Path
) -> None:
    executable = chromium.EXECUTABLE
    filters = ("--exe", executable, "--exe", Path(sys.executable).resolve())
    with mapped(executable), tlstap_all_formats(*filters) as tracer:
        tracer.wait_traced(executable)
        visit = chromium.visit(server.url("/page.html"), home)
        server.wait_ended()
    assert page.title == TITLE
    check(tracer, visit.network_pid, server.port, other)


def test_firefox(
    tlstap_all_formats: RunTlstap,
    certificates: Certificates,
    page: TalkingPage,
    server: Http2Server,
    other: int,
    home: Path,
) -> None:
    browser = firefox.installed()
    filters = ("--exe", browser.executable, "--exe", Path(sys.executable).resolve())
    with nss.in_use(browser.folder), tlstap_all_formats(*filters) as tracer:
        tracer.wait_traced(browser.libssl3)
        pid = browser.load(server.url("/page.html"), home, certificates.authority)
        server.wait_ended()
    assert page.title == TITLE
    check(tracer, pid, server.port, other)


def check(tracer: Tracer, pid: int, port: int, other: int) -> None:
    """All messages, at both ends of both connections.

    :param pid: the browser's process that does TLS.
    """
    assert losses(tracer.events) == []
    found = connections(tracer.events)
    of_browser = [end for end in found if end.process.pid == pid]
    assert {end.ports[1] for end in of_browser} == {port, other}
    for client in of_browser:
        [server] = [end for end in found if end.ports == client.ports[::-1]]
        assert server.process.pid == os.getpid()
        assert (client.written, client.read) == (server.read, server.written)
    # Browsers may open a connection that they don't use.
    [by_http1] = [end for end in of_browser if end.ports[1] == other and end.written]
    [by_http2] = [end for end in of_browser if end.ports[1] == port and end.written]
    for client in (by_http1, by_http2):
        [server] = [end for end in found if end.ports == client.ports[::-1]]
        talk = [Shown(way, *message) for message in TALK for way in ("write", "read")]
        for end, messages in ((client, talk), (server, seen_by_peer(talk))):
            events = message_events(tracer.events, "websocket", end)
            for way in ("write", "read"):
                assert shown(events, way) == [each for each in messages if each.direction == way]
            if client is by_http1:
                check_http1(tracer, end, events)
            else:
                check_http2(tracer, end, events)
                heard = EVENTS if end is client else seen_by_peer(EVENTS)
                assert shown(message_events(tracer.events, "sse", end), heard[0].direction) == heard


def check_http1(tracer: Tracer, end: Traced, messages: list[schema.MessageEvent]) -> None:
    """The upgrade that the messages belong to."""
    [upgrade] = http_events(tracer.events, end)
    assert upgrade.complete
    assert upgrade.request is not None
    assert upgrade.response is not None
    assert (upgrade.request.target, upgrade.response.status) == ("/other", 101)
    assert {(each.stream_id, each.method, each.target) for each in messages} == {(None, "GET", "/other")}


def check_http2(tracer: Tracer, end: Traced, messages: list[schema.MessageEvent]) -> None:
    """The stream that the messages belong to, and the other ones."""
    found = by_stream(tracer.events, end)
    asked = [(event.request.method, event.request.target) for event in found.values() if event.request]
    assert sorted(asked, key=str) == [
        ("CONNECT", "/talk"),
        ("GET", "/events"),
        ("GET", "/page.html"),
        ("POST", "/title"),
    ]
    assert {event.complete for event in found.values()} == {True}
    [(stream, talk)] = [
        (number, event)
        for number, event in found.items()
        if event.request and event.request.method == "CONNECT"
    ]
    assert talk.request is not None
    assert talk.response is not None
    assert (talk.request.protocol, talk.request.scheme, talk.response.status) == ("websocket", "https", 200)
    assert {(each.stream_id, each.method, each.target) for each in messages} == {(stream, "CONNECT", "/talk")}
