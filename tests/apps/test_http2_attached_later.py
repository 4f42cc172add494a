"""tlstap attaches to HTTP/2 connections in use: what it did not see is marked, and nothing is wrong."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support import chromium
from tests.support.certificates import Certificates
from tests.support.ends import plain_environment, start_waiting
from tests.support.exchanges import Known, by_stream, check_known
from tests.support.fixtures import RunTlstap
from tests.support.http2 import Half
from tests.support.http2_peer import SECONDS, Peer, Stream
from tests.support.http2_server import Http2Server, connect, run_http2_server
from tests.support.nginx import JSON, POSTED, UPLOADED, Nginx, big_file
from tests.support.tracer import Tracer
from tests.support.traffic import connections, losses
from tests.support.wait import wait_until

from tlstap import schema

PAGE = b"""<!doctype html>
<title>loading</title>
<link rel="icon" href="data:,">
<body>
<script>
const frame = document.body.appendChild(document.createElement("iframe"));
frame.contentDocument.open();
(async () => {
    for (const name of ["first", "wait", "third", "fourth"])
        document.title = await (await fetch(name, {method: "POST", body: name})).text();
    frame.contentDocument.close();
})();
</script>
"""


BEFORE = 1 << 20
"""Bytes of a download that were read before tlstap attaches, at least."""
NOTHING: Known = (None, None)


@dataclass
class Gate:
    """A server's handler that answers each request with what it asked for; /wait is answered when told to."""

    waiting: threading.Event = field(default_factory=threading.Event)
    """Set when /wait was asked for."""
    open: threading.Event = field(default_factory=threading.Event)

    def __call__(self, stream: Stream) -> None:
        head = stream.head()
        body = stream.body()
        if head[":path"] == "/page.html":
            stream.answer(200, [("content-type", "text/html")], PAGE)
            return
        if head[":path"] == "/wait":
            self.waiting.set()
            assert self.open.wait(SECONDS)
        stream.answer(200, served(head[":path"]), answer(head[":path"], body))


def served(target: str | None) -> list[tuple[str, str]]:
    """Headers of Gate's answers."""
    return [("content-type", "text/plain"), ("x-served", "by the tests"), ("x-path", target or "")]


def answer(target: str | None, body: bytes) -> bytes:
    """What Gate makes of a request."""
    assert target is not None
    return target.encode() * 1000 + body


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def server(certificates: Certificates, gate: Gate) -> Iterator[Http2Server]:
    with run_http2_server(certificates, gate) as server:
        yield server


def shown(tracer: Tracer, local: int, remote: int) -> dict[int, schema.HttpEvent]:
    """The exchanges of the connection between these ports, as the process with the local one sees them."""
    assert losses(tracer.events) == []
    [end] = [end for end in connections(tracer.events) if end.ports == (local, remote)]
    opened = [event for event in tracer.events if isinstance(event, schema.OpenEvent)]
    assert [event.from_start for event in opened if event.connection.id == end.id] == [False]
    return by_stream(tracer.events, end)


def check_missing(event: schema.HttpEvent, *parts: str) -> None:
    """These parts were not seen, and no others lack."""
    assert not event.complete
    assert [(missing.part, missing.reason) for missing in event.missing] == [
        (part, "not seen") for part in parts
    ]


def ask(client: Peer, target: str, *headers: tuple[str, str]) -> Half:
    """Send a POST and wait for the answer; what was sent."""
    pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", target)]
    head = [*pseudo, ("user-agent", "tests"), *headers]
    body = f"body of {target}".encode()
    stream = client.request(head, body)
    assert stream.head() == {":status": "200", **dict(served(target))}
    assert stream.body() == answer(target, body)
    return Half([head], body, True)


def test_later_requests(
    tlstap_all_formats: RunTlstap, certificates: Certificates, server: Http2Server
) -> None:
    """Of headers that refer to earlier ones, as much is known as was seen, at both ends."""
    client = Peer(connect(server.port, certificates)).start()
    for number in range(2):
        ask(client, "/first", ("x-secret", "before"), ("x-count", str(number)))
    with tlstap_all_formats("-p", os.getpid()) as tracer:
        sent = [
            ask(client, "/first", ("x-secret", "before"), ("x-count", "2")),
            ask(client, "/later", ("x-secret", "before"), ("x-count", "3"), ("x-new", "seen")),
            ask(client, "/later", ("x-secret", "before"), ("x-count", "3"), ("x-new", "seen")),
            ask(client, "/later", ("x-secret", "after"), ("x-count", "4"), ("x-new", "seen")),
        ]
    port = client.tls.getsockname()[1]
    client.close()
    # Literal values are known, although their names refer to what was not seen. Nothing else is unknown.
    always = dict.fromkeys([":authority", "user-agent"], NOTHING)
    answers = dict.fromkeys(["content-type", "x-served"], NOTHING)
    unknown: list[tuple[dict[str, Known], dict[str, Known]]] = [
        (
            always | {":path": NOTHING, "x-secret": NOTHING, "x-count": (None, "2")},
            answers | {"x-path": NOTHING},
        ),
        (always | {"x-secret": NOTHING, "x-count": (None, "3")}, answers | {"x-path": (None, "/later")}),
        (always | {"x-secret": NOTHING, "x-count": (None, "3")}, answers | {"x-path": (None, "/later")}),
        (
            always | {"x-secret": (None, "after"), "x-count": (None, "4")},
            answers | {"x-path": (None, "/later")},
        ),
    ]
    for ends in ((port, server.port), (server.port, port)):
        found = list(shown(tracer, *ends).values())
        assert len(found) == len(sent)
        for event, half, names in zip(found, sent, unknown, strict=True):
            assert event.request is not None
            assert event.response is not None
            target = half.first(":path")
            head = [(":status", "200"), *served(target)]
            assert check_known(event.request, half.heads[0]) == names[0]
            assert check_known(event.response, head) == names[1]
            assert (event.request.method, event.response.status) == ("POST", 200)
            assert event.request.content == half.body
            assert event.response.content == answer(target, half.body)
            check_missing(event, "request headers", "response headers")


@pytest.mark.parametrize("read_size", [16384, 1000])
def test_amid_a_download(
    tlstap_all_formats: RunTlstap, certificates: Certificates, nginx: Nginx, read_size: int
) -> None:
    """Where frames begin is found again; what follows the download is whole, and nothing is made up."""
    client = Peer(connect(nginx.http2_port, certificates), read_size=read_size).start()
    start = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost")]
    last = 4 * BEFORE
    download = client.request([*start, (":path", "/big.bin"), ("range", f"bytes=0-{last - 1}")])
    wait_until(lambda: client.received > BEFORE, "the download to begin")
    client.reading.clear()
    with tlstap_all_formats("-p", os.getpid(), "-p", nginx.workers[0]) as tracer:
        client.reading.set()
        assert download.head()[":status"] == "206"
        assert download.body() == big_file()[:last]
        later = client.request([*start, (":path", "/json?later")])
        posted = client.request([*start[1:], (":method", "POST"), (":path", "/upload")], POSTED)
        assert (later.head()[":status"], later.body()) == ("200", JSON)
        assert (posted.head()[":status"], posted.body()) == ("200", UPLOADED)
    port = client.tls.getsockname()[1]
    client.close()
    for ends in ((port, nginx.http2_port), (nginx.http2_port, port)):
        # Of the download's request nothing was seen: its stream is no exchange.
        found = shown(tracer, *ends)
        assert list(found) == [later.id, posted.id]
        expected = [("GET", "/json?later", b"", JSON), ("POST", "/upload", POSTED, UPLOADED)]
        for event, exchange in zip(found.values(), expected, strict=True):
            asked, got = event.request, event.response
            assert asked is not None
            assert got is not None
            assert (asked.method, asked.target, asked.content, got.content) == exchange
            # The authority is the only one that both ends know from before.
            assert (asked.scheme, asked.authority) == ("https", None)
            assert [(header.name, header.value) for header in asked.unknown_headers] == [NOTHING]
            assert (got.status, got.unknown_headers) == (200, ())
            assert ("content-length", str(len(got.content))) in got.headers
            check_missing(event, "request headers")


def check_kept(tracer: Tracer, server: Http2Server, client: str, sent: dict[str, bytes]) -> None:
    """A client's later requests to Gate's server are shown at both ends, with their bodies.

    :param client: its executable.
    :param sent: targets with the requests' bodies.
    """
    found = connections(tracer.events)
    assert losses(tracer.events) == []
    [at_client] = [end for end in found if end.process.exe == client and end.ports[1] == server.port]
    [at_server] = [end for end in found if end.ports == at_client.ports[::-1]]
    assert at_server.process.pid == os.getpid()
    for end in (at_client, at_server):
        exchanges = by_stream(tracer.events, end).values()
        later = [event for event in exchanges if event.request and event.request.target in sent]
        assert [event.request and event.request.target for event in later] == list(sent)
        for event in later:
            asked, got = event.request, event.response
            assert asked is not None
            assert got is not None
            assert (asked.method, asked.scheme, asked.authority) == ("POST", "https", None)
            assert asked.content == sent[asked.target or ""]
            assert (got.status, got.content) == (200, answer(asked.target, asked.content))
            known = check_known(got, [(":status", "200"), *served(asked.target)])
            assert known == {"content-type": NOTHING, "x-served": NOTHING, "x-path": (None, asked.target)}
            assert asked.unknown_headers
            assert {(header.name, header.value) for header in asked.unknown_headers} == {NOTHING}
            check_missing(event, "request headers", "response headers")


def test_curl(
    tlstap_all_formats: RunTlstap, certificates: Certificates, gate: Gate, server: Http2Server, tmp_path: Path
) -> None:
    sent = {f"/{name}": name.encode() for name in ("first", "wait", "third", "fourth")}
    command: list[str | Path] = ["curl", "-q"]
    options = ["-sS", "--http2", "--noproxy", "*", "--cacert", str(certificates.authority)]
    for target, body in sent.items():
        command += [*options, "-o", tmp_path / target[1:], "-d", body.decode(), server.url(target), "--next"]
    running = start_waiting(command[:-1], plain_environment(tmp_path))
    running.go()
    assert gate.waiting.wait(SECONDS)
    with tlstap_all_formats("-p", running.pid, "-p", os.getpid()) as tracer:
        gate.open.set()
        running.finish()
    for target, body in sent.items():
        assert (tmp_path / target[1:]).read_bytes() == answer(target, body)
    check_kept(tracer, server, "/usr/bin/curl", dict(list(sent.items())[2:]))


def test_chromium(tlstap_all_formats: RunTlstap, gate: Gate, server: Http2Server, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with ThreadPoolExecutor(1) as pool:
        visit = pool.submit(chromium.visit, server.url("/page.html"), home)
        assert gate.waiting.wait(SECONDS)
        executables = ("--exe", chromium.EXECUTABLE, "--exe", Path(sys.executable).resolve())
        with tlstap_all_formats(*executables) as tracer:
            tracer.wait_traced(chromium.EXECUTABLE)
            gate.open.set()
            dom = visit.result().dom
    assert f"<title>{answer('/fourth', b'fourth').decode()}</title>" in dom
    check_kept(tracer, server, str(chromium.EXECUTABLE), {"/third": b"third", "/fourth": b"fourth"})
