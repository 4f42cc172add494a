"""curl and nginx: each end's plaintext is what went over this very connection, and nothing else."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
from tests.support.curl import CurlRun, curl, request_bytes
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, TEXT, UPLOADED, Nginx, gunzip_chunks
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, losses, with_ports

from tlstap import schema

BOTH = ("-c", "curl", "-c", "nginx")


def both_ends(tracer: Tracer, nginx: Nginx, run: CurlRun) -> tuple[Traced, Traced]:
    """curl's and nginx's view of the connection, after a look that there is no third and no loss."""
    found = [traced for traced in connections(tracer.events) if nginx.port in traced.ports]
    client = with_ports(found, run.local_port, nginx.port)
    server = with_ports(found, nginx.port, run.local_port)
    assert len(found) == 2
    assert losses(tracer.events) == []
    return client, server


def exchanges(tracer: Tracer, traced: Traced) -> list[schema.HttpEvent]:
    """The http events of a connection."""
    http = [event for event in tracer.events if isinstance(event, schema.HttpEvent)]
    return [event for event in http if event.connection.id == traced.id]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_ends_show_one_exchange(
    tlstap: RunTlstap, nginx: Nginx, tmp_path: Path, host: str, version: str
) -> None:
    url = nginx.url("/json", f"[{host}]" if ":" in host else host)
    with tlstap(*BOTH) as tracer:
        run = curl(nginx, tmp_path, url, options=(f"--tlsv{version}", "--tls-max", version))
    client, server = both_ends(tracer, nginx, run)
    request = request_bytes(nginx, "/json", host=host)

    assert run.response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert run.response.endswith(b"\r\n\r\n" + JSON)
    assert (client.written, client.read) == (request, run.response)
    assert (server.read, server.written) == (request, run.response)

    assert client.process.comm == "curl"
    assert client.process.exe == "/usr/bin/curl"
    assert server.process.comm == "nginx"
    assert server.process.exe == "/usr/sbin/nginx"
    assert server.process.pid in nginx.workers
    assert (client.connection.role, server.connection.role) == ("client", "server")
    for traced in (client, server):
        assert traced.connection.local is not None
        assert traced.connection.remote is not None
        assert traced.connection.local.address == host
        assert traced.connection.remote.address == host
        assert not traced.connection.inferred
        assert traced.connection.tls_version in (None, f"TLSv{version}")
        assert traced.library.name == "openssl"
        assert traced.library.version is not None
        assert traced.library.version.startswith("3.")


def test_life_of_a_connection(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    with tlstap(*BOTH) as tracer:
        run = curl(nginx, tmp_path, nginx.url("/json"))
    client, _ = both_ends(tracer, nginx, run)
    life = [
        event
        for event in tracer.events
        if not isinstance(event, schema.LostEvent) and event.connection.id == client.id
    ]
    kinds = [event.kind for event in life]

    assert kinds.count("open") == kinds.count("handshake") == kinds.count("http") == kinds.count("close") == 1
    assert kinds[0] == "open"
    assert kinds[-1] == "close"
    assert kinds.index("handshake") < kinds.index("data")
    opened, closed = life[0], life[-1]
    handshake = life[kinds.index("handshake")]
    assert isinstance(opened, schema.OpenEvent)
    assert opened.from_start
    assert isinstance(handshake, schema.HandshakeEvent)
    assert handshake.ok
    assert 0 < handshake.duration_ns < 60e9
    assert isinstance(closed, schema.CloseEvent)
    assert (closed.written_bytes, closed.read_bytes) == (len(client.written), len(client.read))
    assert (closed.written_lost, closed.read_lost) == (0, 0)
    numbers = [event.seq for event in tracer.events]
    assert numbers == sorted(set(numbers))


def test_exchange_is_decoded(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    with tlstap(*BOTH) as tracer:
        run = curl(nginx, tmp_path, nginx.url("/json?a=1"))
    for traced in both_ends(tracer, nginx, run):
        [exchange] = exchanges(tracer, traced)
        assert exchange.protocol == "HTTP/1.1"
        assert exchange.complete
        assert exchange.missing == ()
        assert exchange.request is not None
        assert exchange.request.method == "GET"
        assert exchange.request.target == "/json?a=1"
        assert exchange.request.authority == f"127.0.0.1:{nginx.port}"
        assert ("User-Agent", "tests") in exchange.request.headers
        assert exchange.response is not None
        assert (exchange.response.status, exchange.response.reason) == (200, "OK")
        assert ("Content-Type", "application/json") in exchange.response.headers
        assert exchange.response.content == JSON


def test_keep_alive(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    targets = ["/json", "/other", "/missing", "/redirect"]
    with tlstap(*BOTH) as tracer:
        run = curl(nginx, tmp_path, *(nginx.url(target) for target in targets))
    client, server = both_ends(tracer, nginx, run)

    assert client.written == b"".join(request_bytes(nginx, target) for target in targets)
    assert server.read == client.written
    assert client.read == server.written == run.response
    answers = [(each.request, each.response) for each in exchanges(tracer, client)]
    seen = [(request.target, response.status) for request, response in answers if request and response]
    assert seen == [("/json", 200), ("/other", 200), ("/missing", 404), ("/redirect", 302)]


def test_compressed_and_chunked(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    with tlstap(*BOTH) as tracer:
        run = curl(nginx, tmp_path, nginx.url("/text.txt"), options=("-H", "Accept-Encoding: gzip"))
    client, server = both_ends(tracer, nginx, run)
    head, _, body = client.read.partition(b"\r\n\r\n")

    assert client.read == server.written == run.response
    assert b"Transfer-Encoding: chunked" in head
    assert gunzip_chunks(body) == TEXT
    [exchange] = exchanges(tracer, client)
    assert exchange.response is not None
    assert exchange.response.content == TEXT


def test_post_of_5_megabytes(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    body = hashlib.shake_256(b"upload").digest(5_000_000)
    (tmp_path / "body").write_bytes(body)
    with tlstap(*BOTH) as tracer:
        data = ("--data-binary", f"@{tmp_path / 'body'}", "-H", "Content-Type: application/octet-stream")
        run = curl(nginx, tmp_path, nginx.url("/upload"), options=("-H", "Expect:", *data))
    client, server = both_ends(tracer, nginx, run)
    headers = ("Content-Type: application/octet-stream", f"Content-Length: {len(body)}")
    request = request_bytes(nginx, "/upload", *headers, method="POST", body=body)

    assert len(client.written) == len(request)
    assert client.written == request
    assert server.read == request
    assert client.read == server.written == run.response
    assert run.response.endswith(UPLOADED)


def test_download_of_64_mib(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    with tlstap("-c", "curl", "--only", "data,lost,close") as tracer:
        run = curl(nginx, tmp_path, nginx.url("/big.bin"))
    client = with_ports(connections(tracer.events), run.local_port, nginx.port)
    _, _, body = client.read.partition(b"\r\n\r\n")

    assert losses(tracer.events) == []
    assert hashlib.sha256(body).hexdigest() == nginx.big_sha256
    assert client.read == run.response
    assert {event.kind for event in tracer.events} == {"data", "close"}


def test_gzip_oracle() -> None:
    """The helper that undoes chunks is right."""
    packed = gzip.compress(TEXT)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[:100], packed[100:]))
    assert gunzip_chunks(chunks + b"0\r\n\r\n") == TEXT
