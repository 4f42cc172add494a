"""HTTP/2 of curl and nginx, followed at both ends: each exchange on its stream, as its bytes say."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from hyperframe.frame import DataFrame
from tests.support import http2
from tests.support.all_formats import FORMATS, SUMMARY, check_same, in_format
from tests.support.certificates import Certificates
from tests.support.ends import plain_environment, start_waiting
from tests.support.exchanges import check_http2
from tests.support.fixtures import RunTlstap
from tests.support.forty import forty_files
from tests.support.http2_peer import SECONDS, Stream
from tests.support.http2_server import run_http2_server
from tests.support.nginx import JSON, POSTED, TEXT, UPLOADED, Nginx, big_file
from tests.support.tracer import TLSTAP, Tracer
from tests.support.traffic import Traced, connections, http_events, losses

PART = 8 << 20
CURL: list[str | Path] = ["curl", "-q", "-sS", "-A", "tests", "--http2", "--noproxy", "*", "--cacert"]
UPLOAD = hashlib.shake_256(b"upload").digest(5_000_000)


@dataclass(frozen=True)
class Wanted:
    """A request with curl's options for it, and what must come of it (None: what curl stored)."""

    target: str
    options: tuple[str | Path, ...]
    method: str
    sent: bytes
    status: int
    received: bytes | None


@dataclass
class Fetched:
    """What curl fetched over one connection, and both ends of that as they were traced."""

    tracer: Tracer
    client: Traced
    server: Traced
    received: list[bytes]


def run(tlstap: RunTlstap, server: int, command: list[str | Path], home: Path) -> tuple[Tracer, list[str]]:
    """Run curl, followed at both ends, of which one is the process `server`; also what it prints."""
    running = start_waiting(command, plain_environment(home))
    with tlstap("-p", running.pid, "-p", server) as tracer:
        running.go()
        output = running.finish()
    assert losses(tracer.events) == []
    assert {event.process.pid for event in tracer.events if event.process} == {running.pid, server}
    return tracer, output


def fetch(tlstap: RunTlstap, nginx: Nginx, folder: Path, wanted: list[Wanted]) -> Fetched:
    """Run curl for all of it; it must get what is expected."""
    command: list[str | Path] = []
    for number, each in enumerate(wanted):
        command += [*("--next", *CURL[2:])] if number else CURL
        command += [nginx.certificates.authority, "-o", folder / f"{number}", "-w"]
        command += ["%{num_connects} %{http_code}\n", *each.options]
        command += [nginx.url(each.target, port=nginx.http2_port)]
    tracer, output = run(tlstap, nginx.workers[0], command, folder)
    assert output == [f"{0 if number else 1} {each.status}" for number, each in enumerate(wanted)]
    received = []
    for number, each in enumerate(wanted):
        stored = (folder / f"{number}").read_bytes()
        received.append(stored if each.received is None else each.received)
        assert each.method == "HEAD" or stored == received[-1]
    [client] = [end for end in connections(tracer.events) if end.process.comm == "curl"]
    return Fetched(tracer, client, server_of(tracer, client), received)


def server_of(tracer: Tracer, client: Traced) -> Traced:
    """The other end of a connection, with the same bytes."""
    [server] = [end for end in connections(tracer.events) if end.ports == client.ports[::-1]]
    assert (server.process.comm, server.connection.role) == ("nginx", "server")
    assert (len(client.written), len(client.read)) == (len(server.read), len(server.written))
    assert (client.written, client.read) == (server.read, server.written)
    return server


def check(fetched: Fetched, wanted: list[Wanted]) -> None:
    """Both ends show each exchange, in order, on the streams that curl used."""
    for end in (fetched.client, fetched.server):
        found = check_http2(fetched.tracer.events, end)
        assert list(found) == [1 + 2 * number for number in range(len(wanted))]
        for event, each, received in zip(found.values(), wanted, fetched.received, strict=True):
            assert event.request is not None
            assert event.response is not None
            asked, answer = event.request, event.response
            assert (asked.method, asked.target) == (each.method, each.target)
            assert asked.authority == f"127.0.0.1:{fetched.client.ports[1]}"
            assert ("user-agent", "tests") in asked.headers
            assert digest(asked.content) == digest(each.sent)
            assert answer.status == each.status
            assert digest(answer.content) == digest(received)
        assert {event.connection.alpn for event in found.values()} <= {"h2", None}


def digest(content: bytes) -> tuple[int, str]:
    """What tells contents apart."""
    return len(content), hashlib.sha256(content).hexdigest()


@pytest.fixture
def wanted(tmp_path: Path) -> list[Wanted]:
    """Requests of all kinds."""
    (tmp_path / "posted").write_bytes(POSTED)
    (tmp_path / "upload").write_bytes(UPLOAD)
    compressed = ("-H", "Accept-Encoding: gzip, br", "--compressed")
    part = ("-r", f"0-{PART - 1}")
    return [
        Wanted("/json?number=1", (), "GET", b"", 200, JSON),
        Wanted("/upload", ("--data-binary", f"@{tmp_path}/posted"), "POST", POSTED, 200, UPLOADED),
        Wanted("/forty/38.png", ("-I",), "HEAD", b"", 200, b""),
        Wanted("/missing", (), "GET", b"", 404, None),
        Wanted("/text.txt", compressed, "GET", b"", 200, TEXT),
        Wanted("/br.txt", compressed, "GET", b"", 200, TEXT),
        Wanted("/big.bin", part, "GET", b"", 206, big_file()[:PART]),
        Wanted("/upload", ("-T", tmp_path / "upload"), "PUT", UPLOAD, 200, UPLOADED),
        Wanted("/json?number=2", (), "GET", b"", 200, JSON),
    ]


def test_one_connection(
    tlstap_all_formats: RunTlstap, nginx: Nginx, tmp_path: Path, wanted: list[Wanted]
) -> None:
    check(fetch(tlstap_all_formats, nginx, tmp_path, wanted), wanted)


def test_parallel_streams(tlstap_all_formats: RunTlstap, certificates: Certificates, tmp_path: Path) -> None:
    """Requests are under way at the same time, and frames of the answers are mixed."""
    files = list(forty_files().items())[-8:]
    turns = threading.Barrier(len(files))

    def handler(stream: Stream) -> None:
        content = dict(files)[stream.head()[":path"].removeprefix("/")]
        stream.send_head([(":status", "200")])
        third = len(content) // 3
        for piece in (content[:third], content[third : 2 * third], content[2 * third :]):
            turns.wait(SECONDS)
            stream.send(piece)
        stream.send(b"", end=True)

    with run_http2_server(certificates, handler) as server:
        command = [*CURL, certificates.authority, "--parallel"]
        for name, _ in files:
            command += ["-o", tmp_path / name, server.url(f"/{name}")]
        tracer, _ = run(tlstap_all_formats, os.getpid(), command, tmp_path)
    found = connections(tracer.events)
    [at_curl] = [end for end in found if end.process.comm == "curl"]
    [at_server] = [end for end in found if end.ports == at_curl.ports[::-1]]
    order = [frame.stream_id for frame in http2.frames(at_curl.read) if isinstance(frame, DataFrame)]

    assert len(found) == 2
    assert order != sorted(order)
    for end in (at_curl, at_server):
        pairs = [(event.request, event.response) for event in check_http2(tracer.events, end).values()]
        received = [(asked.target, digest(got.content)) for asked, got in pairs if asked and got]
        assert sorted(received) == [(f"/{name}", digest(content)) for name, content in files]


def test_upstream_over_tls(tlstap_all_formats: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    """nginx is the server of curl, and client and server of its upstream; all of it is one process's."""
    (tmp_path / "posted").write_bytes(POSTED)
    wanted = [
        Wanted("/forward/json", (), "GET", b"", 200, JSON),
        Wanted("/forward/upload", ("--data-binary", f"@{tmp_path}/posted"), "POST", POSTED, 200, UPLOADED),
        Wanted("/forward/forty/35.json", (), "GET", b"", 200, forty_files()["35.json"]),
    ]
    fetched = fetch(tlstap_all_formats, nginx, tmp_path, wanted)
    check(fetched, wanted)
    events = fetched.tracer.events
    upstream = [end for end in connections(events) if nginx.port in end.ports]
    by_role: dict[str, list[tuple[str | None, str | None, bytes, bytes]]] = {}
    for end in upstream:
        assert end.process.pid == nginx.workers[0]
        for event in http_events(events, end):
            assert (event.complete, event.protocol, event.stream_id) == (True, "HTTP/1.1", None)
            asked, answer = event.request, event.response
            assert asked is not None
            assert answer is not None
            exchange = (asked.method, asked.target, asked.content, answer.content)
            by_role.setdefault(event.connection.role or "", []).append(exchange)
    expected = [(each.method, each.target[8:], each.sent, each.received) for each in wanted]

    assert sorted(by_role) == ["client", "server"]
    assert by_role["client"] == by_role["server"] == expected
    # Both ends of each of nginx's connections to itself were shown.
    assert sorted(end.ports for end in upstream) == sorted((end.ports[1], end.ports[0]) for end in upstream)
    assert sorted(end.written for end in upstream) == sorted(end.read for end in upstream)


def test_replay_in_each_format(tlstap_all_formats: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    """As users ask for it; also only what was decoded, numbered as before."""
    wanted = [
        Wanted(f"/forty/{name}", (), "GET", b"", 200, content) for name, content in forty_files().items()
    ]
    capture = fetch(tlstap_all_formats, nginx, tmp_path, wanted).tracer.output
    options = {name: ["-f", name] for name in FORMATS} | {SUMMARY: ["--summary"]}
    for name, own in options.items():
        replayed = tmp_path / f"replayed.{name}"
        subprocess.run([TLSTAP, "replay", capture, *own, "-o", replayed], check=True, timeout=60)
        check_same(in_format(capture, name), replayed)
    only = ("-f", "json", "--only", "http,message")
    shown = subprocess.run([TLSTAP, "replay", capture, *only], check=True, timeout=60, capture_output=True)
    lines = capture.read_bytes().splitlines()
    decoded = [line for line in lines if json.loads(line)["kind"] in ("http", "message")]
    assert len(decoded) > 2 * 10
    assert shown.stdout.splitlines() == decoded
