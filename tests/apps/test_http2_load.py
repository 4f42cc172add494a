"""h2load and nginx: hundreds of exchanges, dozens at a time on each connection, all complete and right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.ends import plain_environment, start_waiting
from tests.support.exchanges import check_http2
from tests.support.fixtures import RunTlstap
from tests.support.forty import forty_files
from tests.support.nginx import JSON, TEXT, Nginx
from tests.support.traffic import connections, losses

REQUESTS, CONNECTIONS, STREAMS = 400, 4, 32
BODIES = {"/json": JSON, "/text.txt": TEXT, "/forty/30.png": forty_files()["30.png"], "/bytes64": b"x" * 64}


def test_h2load(tlstap_all_formats: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    counts = ["-n", str(REQUESTS), "-c", str(CONNECTIONS), "-m", str(STREAMS)]
    urls = [nginx.url(target, port=nginx.http2_port) for target in BODIES]
    command = ["h2load", *counts, "-H", "Accept-Encoding: gzip", *urls]
    running = start_waiting(command, plain_environment(tmp_path))
    with tlstap_all_formats("-p", running.pid, "-p", nginx.workers[0]) as tracer:
        running.go()
        output = running.finish()
    found = connections(tracer.events)
    clients = [end for end in found if end.process.pid == running.pid]
    servers = {end.ports[::-1]: end for end in found if end.process.pid == nginx.workers[0]}

    assert any(f" {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout" in line for line in output), output
    assert losses(tracer.events) == []
    assert len(found) == 2 * CONNECTIONS
    assert len(clients) == len(servers) == CONNECTIONS
    for client in clients:
        server = servers[client.ports]
        assert (client.written, client.read) == (server.read, server.written)
        assert client.process.comm == "h2load"
        for end in (client, server):
            targets = Counter[str | None]()
            for event in check_http2(tracer.events, end).values():
                assert event.request is not None
                assert event.response is not None
                assert (event.request.method, event.response.status) == ("GET", 200)
                assert event.response.content == BODIES[event.request.target or ""]
                targets[event.request.target] += 1
            # Each connection asks for the targets in turn.
            assert targets == dict.fromkeys(BODIES, REQUESTS // CONNECTIONS // len(BODIES))
