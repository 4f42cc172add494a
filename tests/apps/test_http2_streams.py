"""What HTTP/2 can do besides: early hints, trailers, pushes, resets, tunnels; no ALPN, and by upgrade."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.certificates import Certificates
from tests.support.ends import plain_environment, start_waiting
from tests.support.exchanges import by_stream, check_http2
from tests.support.fixtures import RunTlstap
from tests.support.http2_peer import Peer, Stream
from tests.support.http2_server import Http2Server, connect, run_http2_server
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, http_events, losses, with_ports

INTERNAL_ERROR, CANCEL = 2, 8
PUSHED = b"body { color: #333 }\n"
HINT = [("link", "</style.css>; rel=preload")]


def handler(stream: Stream) -> None:
    """The server's."""
    head = stream.head()
    match head.get(":path"):
        case "/early":
            stream.send_head([(":status", "103"), *HINT])
            content = stream.body()
            stream.send_head([(":status", "200"), ("x-trailer", stream.head()["x-sum"])])
            stream.send(content[::-1])
            stream.send_head([("x-end", "all of it"), ("x-size", str(len(content)))], end=True)
        case "/page":
            request = [(":method", "GET"), (":scheme", "https"), (":authority", head[":authority"])]
            pushed = stream.push([*request, (":path", "/style.css")])
            stream.answer(200, [], b"page")
            pushed.answer(200, [("content-type", "text/css")], PUSHED)
        case "/reset" | "/cancel":
            stream.send_head([(":status", "200"), ("content-length", "5000")])
            stream.send(b"a part of it")
            if head[":path"] == "/reset":
                stream.reset(INTERNAL_ERROR)
        case None:
            assert head[":method"] == "CONNECT"
            stream.send_head([(":status", "200")])
            while piece := stream.piece():
                assert piece.endswith(b"\r\n\r\n")
                stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ninside")
            stream.send(b"", end=True)
        case path:
            stream.answer(200, [("x-served", "by the tests")], (path or "").encode() + stream.body())


@pytest.fixture
def server(certificates: Certificates) -> Iterator[Http2Server]:
    with run_http2_server(certificates, handler) as server:
        yield server


def head(method: str, target: str) -> list[tuple[str, str]]:
    """A request's pseudo-headers."""
    return [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", target)]


def both_ends(tracer: Tracer, client: int, server: int) -> list[Traced]:
    """The connection between these ports, which is the only one: at the client, at the server."""
    assert losses(tracer.events) == []
    found = connections(tracer.events)
    at_client, at_server = with_ports(found, client, server), with_ports(found, server, client)
    assert len(found) == 2
    assert {end.process.pid for end in found} == {os.getpid()}
    assert (at_client.written, at_client.read) == (at_server.read, at_server.written)
    return [at_client, at_server]


def test_early_hints_and_trailers(
    tlstap_all_formats: RunTlstap, certificates: Certificates, server: Http2Server
) -> None:
    content = bytes(range(256)) * 100
    with tlstap_all_formats("-p", os.getpid()) as tracer:
        client = Peer(connect(server.port, certificates)).start()
        stream = client.request(head("POST", "/early"), None)
        assert stream.head() == {":status": "103", **dict(HINT)}
        stream.send(content)
        stream.send_head([("x-sum", "of the request")], end=True)
        assert (stream.head()[":status"], stream.body()) == ("200", content[::-1])
        port = client.tls.getsockname()[1]
        client.close()
        server.wait_ended()
    for end in both_ends(tracer, port, server.port):
        [event] = check_http2(tracer.events, end).values()
        assert event.request is not None
        assert event.response is not None
        assert (event.request.content, event.response.content) == (content, content[::-1])
        assert event.request.trailers == (("x-sum", "of the request"),)
        assert event.response.trailers == (("x-end", "all of it"), ("x-size", "25600"))
        assert [(each.status, each.headers) for each in event.informational] == [(103, tuple(HINT))]


def test_push(tlstap_all_formats: RunTlstap, server: Http2Server, tmp_path: Path) -> None:
    """The server promises a style sheet to nghttp before that asks for it."""
    running = start_waiting(["nghttp", server.url("/page")], plain_environment(tmp_path))
    with tlstap_all_formats("-p", running.pid, "-p", os.getpid()) as tracer:
        running.go()
        assert running.finish() == ["page" + PUSHED.decode().rstrip()]
        server.wait_ended()
    found = connections(tracer.events)
    assert losses(tracer.events) == []
    assert {end.process.pid for end in found} == {running.pid, os.getpid()}
    assert len(found) == 2
    for end in found:
        promised, page = check_http2(tracer.events, end).values()
        assert (promised.stream_id, promised.pushed) == (2, True)
        assert page.pushed is False
        asked = [event.request.target for event in (promised, page) if event.request]
        got = [event.response.content for event in (promised, page) if event.response]
        assert asked == ["/style.css", "/page"]
        assert got == [PUSHED, b"page"]


def test_resets(tlstap_all_formats: RunTlstap, certificates: Certificates, server: Http2Server) -> None:
    """One stream is given up by the server, one by the client; the third goes on."""
    with tlstap_all_formats("-p", os.getpid()) as tracer:
        client = Peer(connect(server.port, certificates)).start()
        reset = client.request(head("GET", "/reset"))
        assert reset.body() == b"a part of it"
        assert reset.reset_by_peer == INTERNAL_ERROR
        cancelled = client.request(head("GET", "/cancel"))
        assert cancelled.piece() == b"a part of it"
        cancelled.reset(CANCEL)
        last = client.request(head("POST", "/last"), b" body")
        assert last.body() == b"/last body"
        port = client.tls.getsockname()[1]
        client.close()
        server.wait_ended()
    for end in both_ends(tracer, port, server.port):
        events = list(by_stream(tracer.events, end).values())
        assert [event.reset for event in events] == [
            "INTERNAL_ERROR by the server",
            "CANCEL by the client",
            None,
        ]
        assert [event.complete for event in events] == [False, False, True]
        for event in events[:2]:
            assert event.response is not None
            assert (event.response.status, event.response.content) == (200, b"a part of it")
            assert [(each.part, each.reason) for each in event.missing] == [("response body", "unfinished")]
        assert events[2].response is not None
        assert events[2].response.content == b"/last body"


def test_tunnel(tlstap_all_formats: RunTlstap, certificates: Certificates, server: Http2Server) -> None:
    """A CONNECT whose stream carries HTTP/1.1."""
    with tlstap_all_formats("-p", os.getpid()) as tracer:
        client = Peer(connect(server.port, certificates)).start()
        stream = client.request([(":method", "CONNECT"), (":authority", "inside:80")], None)
        assert stream.head() == {":status": "200"}
        for number in range(2):
            stream.send(b"GET /inside?%d HTTP/1.1\r\nHost: inside\r\n\r\n" % number)
            assert stream.piece().endswith(b"inside")
        stream.send(b"", end=True)
        assert stream.body() == b""
        port = client.tls.getsockname()[1]
        client.close()
        server.wait_ended()
    for end in both_ends(tracer, port, server.port):
        shown = [
            (event.protocol, event.stream_id, event.request.method, event.request.authority)
            for event in http_events(tracer.events, end)
            if event.request
        ]
        inside = [event for event in http_events(tracer.events, end) if event.protocol == "HTTP/1.1"]
        assert sorted(shown) == [
            ("HTTP/1.1", 1, "GET", "inside"),
            ("HTTP/1.1", 1, "GET", "inside"),
            ("HTTP/2", 1, "CONNECT", "inside:80"),
        ]
        assert [event.request and event.request.target for event in inside] == ["/inside?0", "/inside?1"]
        assert [event.response and event.response.content for event in inside] == [b"inside", b"inside"]
        assert all(event.complete for event in http_events(tracer.events, end))


def test_prior_knowledge(tlstap_all_formats: RunTlstap, certificates: Certificates) -> None:
    """Both ends speak HTTP/2 although TLS did not agree on it."""
    with (
        run_http2_server(certificates, handler, alpn=False) as server,
        tlstap_all_formats("-p", os.getpid()) as tracer,
    ):
        client = Peer(connect(server.port, certificates, alpn=False)).start()
        assert client.tls.selected_alpn_protocol() is None
        for number in range(3):
            stream = client.request(head("POST", f"/{number}"), b" body")
            assert (stream.head()[":status"], stream.body()) == ("200", b"/%d body" % number)
        port = client.tls.getsockname()[1]
        client.close()
        server.wait_ended()
    for end in both_ends(tracer, port, server.port):
        assert end.connection.alpn is None
        found = check_http2(tracer.events, end)
        assert [event.request and event.request.target for event in found.values()] == ["/0", "/1", "/2"]


def test_upgrade(tlstap_all_formats: RunTlstap, certificates: Certificates) -> None:
    """HTTP/1.1 becomes HTTP/2, whose first stream has the answer to the request that asked for that."""
    with (
        run_http2_server(certificates, handler, alpn=False) as server,
        tlstap_all_formats("-p", os.getpid()) as tracer,
    ):
        tls = connect(server.port, certificates, alpn=False)
        client = Peer(tls, upgrade="")
        lines = ["GET /first HTTP/1.1", "Host: localhost", "Connection: Upgrade, HTTP2-Settings"]
        lines += ["Upgrade: h2c", f"HTTP2-Settings: {client.upgrade_settings.decode()}"]
        tls.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += tls.recv(65536)
        switching, _, rest = answer.partition(b"\r\n\r\n")
        assert switching.startswith(b"HTTP/1.1 101 ")
        client.start(rest)
        first = client.stream(1)
        assert (first.head()[":status"], first.body()) == ("200", b"/first")
        second = client.request(head("POST", "/second"), b" body")
        assert (second.head()[":status"], second.body()) == ("200", b"/second body")
        port = tls.getsockname()[1]
        client.close()
        server.wait_ended()
    for end in both_ends(tracer, port, server.port):
        shown = []
        for event in http_events(tracer.events, end):
            assert event.complete
            asked, got = event.request, event.response
            assert asked is not None
            assert got is not None
            shown.append(
                (event.protocol, event.stream_id, asked.target, asked.content, got.status, got.content)
            )
        assert shown == [
            ("HTTP/1.1", None, "/first", b"", 101, b""),
            ("HTTP/2", 1, "/first", b"", 200, b"/first"),
            ("HTTP/2", 3, "/second", b" body", 200, b"/second body"),
        ]
