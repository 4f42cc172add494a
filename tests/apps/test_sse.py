"""Server-sent events, fetched by curl: each is shown as soon as it came, at both ends."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import chain
from pathlib import Path

import pytest
from tests.support.certificates import Certificates
from tests.support.ends import plain_environment, start_waiting
from tests.support.fixtures import RunTlstap
from tests.support.http1_server import run_http1_server
from tests.support.http2_peer import SECONDS, Stream
from tests.support.http2_server import run_http2_server
from tests.support.messages import Shown, message_events, seen_by_peer, shown
from tests.support.programs import Running
from tests.support.tracer import run_tlstap
from tests.support.traffic import connections, http_events, losses
from tests.support.wait import wait_until

END = b""
PIECES = [
    b": a comment\n\ndata: first of /events\n\n",
    b"id: 2\nevent: news\ndata: one line\ndata: and another\n\n",
    b"retry: 5000\r\ndata: \xc3\xbcber\r\n\r\n",
    b"event: large\ndata: " + b"x" * 20_000 + b"\n\n",
]
EVENTS = [
    Shown("read", "message", b"first of /events"),
    Shown("read", "news", b"one line\nand another", {"id": "2"}),
    Shown("read", "message", b"\xc3\xbcber", {"id": "2", "retry": 5000}),
    Shown("read", "large", b"x" * 20_000, {"id": "2"}),
]
MARKS = ["first of /events", "and another", "\u00fcber", "large"]
"""What of each event is in every format."""


@dataclass
class Source:
    """A server's handler that sends what the test gives it, up to END."""

    pieces: queue.Queue[bytes] = field(default_factory=queue.Queue)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.pieces.get(timeout=SECONDS), END)

    def http2(self, stream: Stream) -> None:
        """For HTTP/2."""
        stream.send_head([(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")])
        for piece in self:
            stream.send(piece)
        stream.send(b"", end=True)

    def http1(self, request: BaseHTTPRequestHandler) -> None:
        """For HTTP/1.1."""
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for piece in chain(self, [b""]):
            request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    @contextmanager
    def server(self, certificates: Certificates, version: str) -> Iterator[int]:
        """Its port."""
        if version == "2":
            with run_http2_server(certificates, self.http2) as server:
                yield server.port
        else:
            with run_http1_server(certificates, self.http1) as port:
                yield port


def curl(certificates: Certificates, folder: Path, version: str, port: int) -> Running:
    """A curl that fetches the events when it is told to go."""
    options: list[str | Path] = ["-q", "-sSN", "--noproxy", "*", f"--http{version}"]
    options += ["--cacert", certificates.authority, "-o", folder / "stored"]
    command: list[str | Path] = ["curl", *options, f"https://127.0.0.1:{port}/events"]
    return start_waiting(command, plain_environment(folder))


def send(source: Source, running: Running, shown_so_far: Callable[[str], bool]) -> None:
    """Send each event when the one before was shown, which the function tells."""
    running.go()
    for piece, mark in zip(PIECES, MARKS, strict=True):
        source.pieces.put(piece)
        wait_until(partial(shown_so_far, mark), f"both ends to show {mark!r}", SECONDS)
    source.pieces.put(END)
    running.finish()


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_as_they_come(
    tlstap_all_formats: RunTlstap, certificates: Certificates, tmp_path: Path, version: str
) -> None:
    source = Source()
    with source.server(certificates, version) as port:
        running = curl(certificates, tmp_path, version, port)
        with tlstap_all_formats("-p", running.pid, "-p", os.getpid()) as tracer:

            def shown_so_far(mark: str) -> bool:
                lines = tracer.output.read_text().splitlines()
                assert not any('"kind":"http"' in line for line in lines), "the response still goes on"
                return len([line for line in lines if '"protocol":"sse"' in line and mark in line]) == 2

            send(source, running, shown_so_far)
    assert losses(tracer.events) == []
    found = connections(tracer.events)
    [at_curl] = [end for end in found if end.process.pid == running.pid]
    [at_server] = [end for end in found if end.ports == at_curl.ports[::-1]]
    stream = 1 if version == "2" else None

    assert (tmp_path / "stored").read_bytes() == b"".join(PIECES)
    assert len(found) == 2
    for end, expected in ((at_curl, EVENTS), (at_server, seen_by_peer(EVENTS))):
        events = message_events(tracer.events, "sse", end)
        assert shown(events, expected[0].direction) == expected
        assert len(events) == len(expected)
        belongs_to = {(event.stream_id, event.method, event.target) for event in events}
        assert belongs_to == {(stream, "GET", "/events")}
        [exchange] = http_events(tracer.events, end)
        assert exchange.complete
        assert exchange.stream_id == stream
        assert exchange.response is not None
        assert exchange.response.content == b"".join(PIECES)


def test_as_text(certificates: Certificates, tmp_path: Path) -> None:
    """What people read shows them at once, too."""
    source, output = Source(), tmp_path / "output"
    with source.server(certificates, "2") as port:
        running = curl(certificates, tmp_path, "2", port)
        filters = ("-p", running.pid, "-p", os.getpid())
        with run_tlstap(output, *filters, output_format="text", has_events=False):
            send(source, running, lambda mark: output.read_text().count(mark) == 2)
