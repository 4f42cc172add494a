"""Chromium loads a page and posts from it: what its network service reads and writes is what nginx does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.support import chromium, pages
from tests.support.ends import clients
from tests.support.fixtures import RunTlstap
from tests.support.groups import group
from tests.support.mapped import mapped
from tests.support.nginx import NGINX, POSTED, UPLOADED, Nginx, post_page_files
from tests.support.tracer import TLSTAP, read_events
from tests.support.traffic import Traced, connections, losses

from tlstap import schema

EXE = str(chromium.EXECUTABLE)
TITLE = "<title>hello300000true</title>"
"""What the page's scripts make of it: everything was loaded, and the POST was answered."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder for whatever Chromium writes."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


class Visit:
    """Chromium loads /post.html under tlstap; afterwards its connections, checked against nginx's ends."""

    def __init__(self, tlstap: RunTlstap, nginx: Nginx, home: Path, port: int) -> None:
        self.port = port
        # The first search takes longer than Chromium takes to its first connection.
        with mapped(chromium.EXECUTABLE), tlstap("--exe", EXE, "--exe", NGINX) as self.tracer:
            self.tracer.wait_traced(chromium.EXECUTABLE)
            self.visit = chromium.visit(nginx.url("/post.html", port=port), home)
        assert TITLE in self.visit.dom
        assert losses(self.tracer.events) == []
        self.connections = clients(self.tracer, nginx, roles=[None])
        self.check()

    def check(self) -> None:
        """All of it is the network service's, to nginx, and the server name is known where there is one."""
        for client in self.connections:
            check_connection(client, self.port)
            assert client.process.pid == self.visit.network_pid
        of_chromium = [event for event in self.tracer.events if exe(event) == EXE]
        numbers = {event.connection.id for event in of_chromium if isinstance(event, schema.DataEvent)}
        assert numbers == {client.id for client in self.connections}, "Chromium has no other connections"
        handshakes = [event for event in of_chromium if isinstance(event, schema.HandshakeEvent)]
        assert numbers <= {event.connection.id for event in handshakes if event.ok}


def exe(event: schema.Event) -> str | None:
    """The executable of the process that an event is about."""
    return event.process.exe if event.process else None


def check_connection(client: Traced, port: int) -> None:
    """What is known about a connection of Chromium's."""
    assert client.process.comm == "Chrome_ChildIOT"
    assert client.process.exe == EXE
    assert (client.library.name, client.library.path) == ("boringssl", EXE)
    assert not client.connection.inferred
    assert client.connection.local is not None
    assert client.connection.remote is not None
    assert client.connection.local.address == client.connection.remote.address
    assert client.connection.local.address in ("127.0.0.1", "::1")
    assert client.connection.remote.port == port
    assert {event.function for event in client.events} == {"SSL_read", "SSL_write"}


def check_http1(loaded: list[tuple[str, str]], port: int) -> None:
    """Each thing was asked for once; the image also by the server's other name."""
    names = [*post_page_files(), "upload"]
    expected = [(f"127.0.0.1:{port}", name) for name in names] + [(f"localhost:{port}", "image.png")]
    assert Counter(loaded) == Counter(expected)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_http1(tlstap: RunTlstap, nginx: Nginx, home: Path, version: str) -> None:
    port = nginx.tls12_port if version == "1.2" else nginx.tls13_port
    visit = Visit(tlstap, nginx, home, port)
    check_http1(pages.http1(visit.tracer.events, visit.connections), port)
    assert {client.connection.sni for client in visit.connections} == {None, "localhost"}


def test_http2(tlstap: RunTlstap, nginx: Nginx, home: Path) -> None:
    visit = Visit(tlstap, nginx, home, nginx.http2_port)
    sent, received = pages.http2_bodies(visit.connections)
    files = post_page_files()

    assert sent == [POSTED]
    assert Counter(received) == Counter([*files.values(), UPLOADED, files["image.png"]])
    assert {client.connection.sni for client in visit.connections} == {None, "localhost"}


def test_started_later(tlstap: RunTlstap, nginx: Nginx, home: Path) -> None:
    """tlstap knows the file from another time, and Chromium starts when tlstap already runs."""
    with mapped(chromium.EXECUTABLE), tlstap("--exe", EXE) as first:
        first.wait_traced(chromium.EXECUTABLE)
    with tlstap("--exe", EXE) as tracer:
        visit = chromium.visit(nginx.url("/post.html"), home)
    found = connections(tracer.events)

    for client in found:
        check_connection(client, nginx.port)
        assert client.process.pid == visit.network_pid
    check_http1(pages.http1(tracer.events, found), nginx.port)


def test_command(nginx: Nginx, home: Path, tmp_path: Path) -> None:
    """Like curl: `tlstap -- chromium ...`."""
    output, dom, log = tmp_path / "events", tmp_path / "dom", tmp_path / "log"
    traced = chromium.command(nginx.url("/post.html"), home)
    command: list[str | Path] = [TLSTAP, "-f", "json", "-o", output, "--", *traced]
    with group(command, chromium.environment(home), dom, log) as process:
        assert process.wait(timeout=90) == 0, log.read_text()
    events = read_events(output)
    found = connections(events)

    assert TITLE in dom.read_text()
    for client in found:
        check_connection(client, nginx.port)
    assert len({client.process.pid for client in found}) == 1
    check_http1(pages.http1(events, found), nginx.port)
