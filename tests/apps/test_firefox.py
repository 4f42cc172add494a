"""Firefox loads a page: what it reads and writes is, byte for byte, what nginx writes and reads; no more."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.support import pages
from tests.support.firefox import Firefox, installed, private_copy
from tests.support.fixtures import RunTlstap
from tests.support.nginx import NGINX, RANDOM, Nginx, page_files
from tests.support.nss import in_use, without_unwind_table
from tests.support.traffic import Traced, connections, losses, with_ports

from tlstap import schema

LOCATED = {"ssl_Recv", "ssl_Send"}
"""Firefox has a layer of its own on top of TLS, which uses these alone."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder for whatever Firefox writes."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


class Visit:
    """Firefox loads /page.html under tlstap; afterwards its connections, checked against nginx's ends."""

    def __init__(self, tlstap: RunTlstap, nginx: Nginx, firefox: Firefox, home: Path, port: int) -> None:
        with tlstap("--exe", firefox.executable, "--exe", NGINX) as self.tracer:
            url = nginx.url("/page.html", port=port)
            self.pid = firefox.load(url, home, nginx.certificates.authority)
        self.nginx = nginx
        self.firefox = firefox
        self.port = port
        self.found = connections(self.tracer.events)
        self.connections = [traced for traced in self.found if traced.process.pid == self.pid]

    def check(self) -> None:
        """Every byte of every connection, and that there are no others than to nginx."""
        assert losses(self.tracer.events) == []
        # One for each host name, at least.
        assert {traced.connection.sni for traced in self.connections} == {None, "localhost"}
        for client in self.connections:
            local, remote = client.ports
            assert remote == self.port
            assert local is not None
            server = with_ports(self.found, remote, local)
            assert server.process.pid in self.nginx.workers
            assert (len(client.written), len(client.read)) == (len(server.read), len(server.written))
            assert client.written == server.read
            assert client.read == server.written
            self.check_connection(client, server)
        ends = [traced for traced in self.found if traced.process.pid in self.nginx.workers]
        assert len([traced for traced in ends if traced.ports[0] == self.port]) == len(self.connections)

    def check_connection(self, client: Traced, server: Traced) -> None:
        """What is known about a connection of Firefox's."""
        assert client.process.comm == "Socket Thread"
        assert client.process.exe == str(self.firefox.executable)
        assert client.library.name == "nss"
        assert client.library.path == str(self.firefox.libssl3)
        assert client.connection.role == "client"
        assert not client.connection.inferred
        assert client.connection.local is not None
        assert client.connection.remote is not None
        assert client.connection.local.address == client.connection.remote.address == "127.0.0.1"
        assert client.connection.tls_version is not None
        assert client.connection.alpn is not None
        assert (client.connection.alpn == "h2") == (self.port == self.nginx.http2_port)
        handshakes = [
            event.ok
            for event in self.tracer.events
            if isinstance(event, schema.HandshakeEvent) and event.connection.id == client.id
        ]
        assert False not in handshakes, "a connection that moved data had its handshake"

    def functions(self) -> set[str]:
        """The functions that moved Firefox's data."""
        return {event.function for traced in self.connections for event in traced.events}


def check_http1(visit: Visit) -> None:
    """Each part of the page was loaded from 127.0.0.1, and the image also from localhost.

    Now and then Firefox loads the style sheet twice.
    """
    loaded = pages.http1(visit.tracer.events, visit.connections)
    expected = {(f"127.0.0.1:{visit.port}", name) for name in page_files()}
    assert set(loaded) == {*expected, (f"localhost:{visit.port}", "image.png")}
    assert loaded.count((f"127.0.0.1:{visit.port}", "random.bin")) == 1


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_http1(tlstap: RunTlstap, nginx: Nginx, home: Path, version: str) -> None:
    port = nginx.tls12_port if version == "1.2" else nginx.tls13_port
    visit = Visit(tlstap, nginx, installed(), home, port)
    visit.check()
    check_http1(visit)
    assert visit.functions() == LOCATED
    assert {traced.connection.tls_version for traced in visit.connections} == {f"TLSv{version}"}


def test_http2(tlstap: RunTlstap, nginx: Nginx, home: Path) -> None:
    visit = Visit(tlstap, nginx, installed(), home, nginx.http2_port)
    visit.check()
    assert visit.functions() == LOCATED
    sent, received = pages.http2_bodies(visit.connections)
    digests = [hashlib.sha256(body).hexdigest() for body in received]

    assert sent == []
    assert digests.count(hashlib.sha256(RANDOM).hexdigest()) == 1
    assert digests.count(hashlib.sha256(page_files()["image.png"]).hexdigest()) == 2
    assert set(digests) == {hashlib.sha256(content).hexdigest() for content in page_files().values()}


def test_fallback(tlstap: RunTlstap, nginx: Nginx, home: Path, tmp_path: Path) -> None:
    """All of Firefox's files and pipes go through NSPR's functions, and none is shown."""
    original = installed()
    libssl3 = without_unwind_table(original.libssl3, tmp_path / "libssl3.so")
    (tmp_path / "firefox").mkdir()
    firefox = private_copy(original, tmp_path / "firefox", libssl3)
    with in_use(firefox.folder):
        visit = Visit(tlstap, nginx, firefox, home, nginx.tls13_port)
    visit.check()
    check_http1(visit)
    # Nobody else runs this copy.
    by_this_copy = [traced for traced in visit.found if traced.process.exe == str(firefox.executable)]
    assert by_this_copy == visit.connections
    assert visit.functions() <= {"PR_Read", "PR_Recv", "PR_Write", "PR_Send"}
    about = [line for line in visit.tracer.messages if str(firefox.libssl3) in line]
    assert any("PR_Read" in line for line in about), visit.tracer.messages
