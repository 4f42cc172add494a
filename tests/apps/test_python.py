"""CPython's ssl, in this very process: blocking sockets, pipelining, many connections, asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, Nginx
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, losses, with_ports

CONNECTIONS = 200


def context(nginx: Nginx) -> ssl.SSLContext:
    """Trusts the tests' authority."""
    return ssl.create_default_context(cafile=nginx.certificates.authority)


@contextmanager
def connect(nginx: Nginx) -> Iterator[ssl.SSLSocket]:
    """A TLS connection to nginx."""
    with (
        socket.create_connection(("127.0.0.1", nginx.port), timeout=60) as plain,
        context(nginx).wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        yield tls


def get(target: str, close: bool = True) -> bytes:
    """A request as bytes."""
    end = "close" if close else "keep-alive"
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: {end}\r\n\r\n".encode()


def receive(tls: ssl.SSLSocket) -> bytes:
    """All up to the end."""
    return b"".join(iter(lambda: tls.recv(65536), b""))


def own(tracer: Tracer, nginx: Nginx, port: int) -> Traced:
    """This process's end of the connection from `port`; no bytes were lost."""
    assert losses(tracer.events) == []
    traced = with_ports(connections(tracer.events), port, nginx.port)
    assert traced.process.pid == os.getpid()
    return traced


def test_pipelining(tlstap: RunTlstap, nginx: Nginx) -> None:
    requests = get("/json", close=False) + get("/other")
    with tlstap("-p", os.getpid(), "-p", nginx.workers[0]) as tracer, connect(nginx) as tls:
        port = tls.getsockname()[1]
        tls.sendall(requests)
        answers = receive(tls)
    client = own(tracer, nginx, port)
    server = with_ports(connections(tracer.events), nginx.port, port)

    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert (client.written, client.read) == (requests, answers)
    assert (server.read, server.written) == (requests, answers)
    assert client.connection.sni in (None, "localhost")
    http = [event for event in tracer.events if event.kind == "http" and event.connection.id == client.id]
    targets = [(each.request.target, each.response.status) for each in http if each.request and each.response]
    assert targets == [("/json", 200), ("/other", 200)]


def test_urlopen(tlstap: RunTlstap, nginx: Nginx) -> None:
    with tlstap("-p", os.getpid()) as tracer:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context(nginx))
        )
        with opener.open(nginx.url("/json?by=urlopen", "localhost"), timeout=60) as response:
            assert response.read() == JSON
    found = [traced for traced in connections(tracer.events) if nginx.port in traced.ports]

    assert len(found) == 1
    assert found[0].written.startswith(b"GET /json?by=urlopen HTTP/1.1\r\n")
    assert found[0].read.endswith(b"\r\n\r\n" + JSON)
    assert {event.function for event in found[0].events if event.direction == "write"} <= {
        "SSL_write_ex",
        "ssl_write_internal",
    }


def test_200_connections_at_once(tlstap: RunTlstap, nginx: Nginx) -> None:
    pids = ("-p", os.getpid(), "-p", nginx.workers[0])
    with tlstap(*pids, "--only", "data,lost") as tracer, ExitStack() as stack:
        open_ones = [stack.enter_context(connect(nginx)) for _ in range(CONNECTIONS)]
        expected = {}
        for number, tls in enumerate(open_ones):
            tls.sendall(get(f"/json?number={number}"))
        for number, tls in enumerate(open_ones):
            expected[tls.getsockname()[1]] = (get(f"/json?number={number}"), receive(tls))
    found = connections(tracer.events)
    clients = {
        traced.ports[0]: (traced.written, traced.read) for traced in found if traced.ports[1] == nginx.port
    }
    servers = {
        traced.ports[1]: (traced.read, traced.written) for traced in found if traced.ports[0] == nginx.port
    }

    assert losses(tracer.events) == []
    assert len(found) == 2 * CONNECTIONS
    assert clients == expected
    assert servers == expected


def test_asyncio(tlstap: RunTlstap, nginx: Nginx) -> None:
    """asyncio's TLS has memory buffers: addresses are those of the thread's last socket, and marked so."""

    async def fetch(number: int) -> tuple[int, bytes, bytes]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", nginx.port, ssl=context(nginx), server_hostname="localhost"
        )
        port: int = writer.get_extra_info("sockname")[1]
        request = get(f"/json?task={number}")
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return port, request, answer

    async def fetch_all() -> list[tuple[int, bytes, bytes]]:
        return await asyncio.gather(*(fetch(number) for number in range(8)))

    with tlstap("-p", os.getpid()) as tracer:
        expected = asyncio.run(fetch_all())
    for port, request, answer in expected:
        traced = own(tracer, nginx, port)
        assert (traced.written, traced.read) == (request, answer)
        assert traced.connection.inferred
    assert len(connections(tracer.events)) == len(expected)
