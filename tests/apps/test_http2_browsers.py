"""Chromium and Firefox load a page with forty parts by HTTP/2: each is shown whole, on its stream."""

from __future__ import annotations

import base64
import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support import chromium, firefox, har
from tests.support.all_formats import run_in_all_formats
from tests.support.cut import recorded
from tests.support.ends import clients
from tests.support.exchanges import check_http2
from tests.support.forty import FOLDER, PAGE, forty_files, report
from tests.support.mapped import mapped
from tests.support.nginx import NGINX, UPLOADED, Nginx
from tests.support.nss import in_use
from tests.support.tracer import Tracer, run_tlstap
from tests.support.traffic import Traced, connections, losses, with_ports

from tlstap import schema

POINTS = 40
"""At how many points of a connection its later part is decoded, and how often with losses."""


@dataclass
class Load:
    """A page that a browser loaded: its executable, the name of its TLS library, and the file that is in."""

    executable: Path
    library: str
    file: Path
    tracer: Tracer
    har: Path
    pid: int
    nginx: Nginx

    @property
    def clients(self) -> list[Traced]:
        """The browser's ends of its connections, which all are to nginx."""
        found = clients(self.tracer, self.nginx, roles=["client", None])
        assert losses(self.tracer.events) == []
        of_browser = [end for end in connections(self.tracer.events) if end.process.pid == self.pid]
        assert {end.id for end in of_browser} == {end.id for end in found}
        return found

    @property
    def ends(self) -> list[Traced]:
        """Both ends of them."""
        return [*self.clients, *map(self.server, self.clients)]

    def server(self, client: Traced) -> Traced:
        """nginx's end of a connection."""
        local, remote = client.ports
        assert local is not None
        assert remote == self.nginx.http2_port
        return with_ports(connections(self.tracer.events), remote, local)


@pytest.fixture(scope="module", params=["Chromium", "Firefox"])
def load(
    request: pytest.FixtureRequest, nginx: Nginx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Load]:
    """The page, loaded once for all tests."""
    home, output = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("output")
    archive = tmp_path_factory.mktemp("archive") / "page.har"
    url = nginx.url(f"/{FOLDER}/{PAGE}", port=nginx.http2_port)
    if request.param == "Chromium":
        executable = file = chromium.EXECUTABLE
        library, known = "boringssl", mapped(executable)
    else:
        browser = firefox.installed()
        executable, file = browser.executable, browser.libssl3
        library, known = "nss", in_use(browser.folder)
    with (
        known,
        run_in_all_formats(output, "--exe", executable, "--exe", NGINX) as tracer,
        run_tlstap(archive, "--exe", executable, output_format="har", has_events=False) as other,
    ):
        tracer.wait_traced(file)
        other.wait_traced(file)
        if request.param == "Chromium":
            visit = chromium.visit(url, home)
            assert "<title>loaded</title>" in visit.dom
            pid = visit.network_pid
        else:
            pid = browser.load(url, home, nginx.certificates.authority)
    yield Load(executable, library, file, tracer, archive, pid, nginx)


def digest(content: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(content).hexdigest()


def expected() -> set[tuple[str, str, str, str]]:
    """Method, target, and the digests of both bodies of all exchanges."""
    nothing = digest(b"")
    parts = {
        ("GET", f"/{FOLDER}/{name}", nothing, digest(content)) for name, content in forty_files().items()
    }
    return parts | {("POST", "/upload", digest(report()), digest(UPLOADED))}


def exchanges(load: Load, end: Traced) -> list[tuple[schema.HttpRequest, schema.HttpResponse]]:
    """Requests and responses of a connection, which are what its bytes say, whole."""
    found = check_http2(load.tracer.events, end).values()
    return [(event.request, event.response) for event in found if event.request and event.response]


def test_all_parts(load: Load) -> None:
    """At both ends. Now and then Firefox loads something twice, so that counts as once."""
    for ends in (load.clients, [load.server(client) for client in load.clients]):
        found = Counter(
            (asked.method, asked.target, digest(asked.content), digest(got.content))
            for end in ends
            for asked, got in exchanges(load, end)
        )
        assert set(found) == expected()
        if load.library == "boringssl":
            assert set(found.values()) == {1}


def test_whose(load: Load) -> None:
    """Process, library and addresses."""
    for client in load.clients:
        assert client.process.exe == str(load.executable)
        assert (client.library.name, client.library.path) == (load.library, str(load.file))
        local = client.connection.local
        assert local is not None
        for asked, got in exchanges(load, client):
            assert (asked.scheme, asked.authority) == ("https", f"127.0.0.1:{load.nginx.http2_port}")
            assert got.status == 200
            if asked.method == "GET":
                # nginx says who the client is.
                assert dict(got.headers)["client"] == f"{local.address} {local.port}"


def test_compressed(load: Load) -> None:
    """Text of more than a few bytes came compressed, images did not."""
    for client in load.clients:
        for asked, got in exchanges(load, client):
            kind = (asked.target or "").rpartition(".")[2]
            coding = dict(got.headers).get("content-encoding")
            assert coding == (
                "gzip" if kind in ("html", "css", "js", "json") and len(got.content) >= 20 else None
            )


def test_har(load: Load) -> None:
    """The archive, written while the page was loaded, is HAR 1.2 and has all bodies."""
    log = har.load(load.har.read_text())
    found = Counter[tuple[str, str, str, str]]()
    own = [entry for entry in log["entries"] if entry["_process"]["pid"] == load.pid]
    for entry in own:
        asked, got = entry["request"], entry["response"]
        assert entry["_process"]["exe"] == str(load.executable)
        assert (asked["httpVersion"], got["httpVersion"]) == ("http/2.0", "http/2.0")
        assert (entry["serverIPAddress"], got["status"]) == ("127.0.0.1", 200)
        assert entry["_complete"] is True
        bodies = digest(content(asked.get("postData"))), digest(content(got["content"]))
        found[asked["method"], asked["url"], *bodies] += 1
    start = load.nginx.url("", port=load.nginx.http2_port)
    assert set(found) == {(method, f"{start}{target}", *bodies) for method, target, *bodies in expected()}
    if load.library == "boringssl":
        assert set(found.values()) == {1}


def test_found_at_any_point(load: Load) -> None:
    """Had tlstap attached then: each later exchange is shown with its bodies, and nothing wrong."""
    for connection in recorded(load.tracer.output, load.ends):
        for start in range(1, len(connection.data), len(connection.data) // POINTS or 1):
            events = connection.found_later(start)
            connection.check(events)
            received = {event.stream_id: event.response.content for event in events if event.response}
            for stream in connection.later(start):
                assert received[stream] == connection.responses[stream].content


def test_losses(load: Load) -> None:
    """Had these records been lost: nothing of what is shown is wrong."""
    chosen = random.Random(1)
    for connection in recorded(load.tracer.output, load.ends):
        numbers = range(len(connection.data))
        for _ in range(POINTS):
            lost = set(chosen.sample(numbers, chosen.choice([1, 2, 5])))
            connection.check(connection.with_losses(lost))
        first = chosen.randrange(len(numbers) // 2)
        connection.check(connection.with_losses(numbers[first : first + 10]))


def content(part: dict[str, Any] | None) -> bytes:
    """A body in an archive."""
    if part is None:
        return b""
    text = part.get("text", "")
    return base64.b64decode(text) if part.get("encoding") == "base64" else str(text).encode()
