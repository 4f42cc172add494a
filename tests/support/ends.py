"""Clients of the test nginx, followed at both ends: what one wrote, the other read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import programs as c_programs
from tests.support.fixtures import RunTlstap
from tests.support.nginx import Nginx
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, http_events, losses


def clients(
    tracer: Tracer, nginx: Nginx, *, inferred: bool = False, roles: Collection[str | None] = ("client",)
) -> list[Traced]:
    """The connections to this nginx as their clients see them, after a look that nginx sees the same.

    :param inferred: whether the clients' addresses have to be concluded.
    :param roles: the roles that clients may have, one of them None if it can't be known.
    """
    found = [traced for traced in connections(tracer.events) if set(traced.ports) & set(nginx.ports)]
    numbers = {traced.id for traced in found}
    assert [lost for lost in losses(tracer.events) if lost.connection and lost.connection.id in numbers] == []
    clients = [traced for traced in found if traced.ports[0] not in nginx.ports]
    servers = {traced.ports: traced for traced in found if traced.ports[0] in nginx.ports}
    assert len(clients) + len(servers) == len(found)
    # Browsers open connections that they don't use then, and with HTTP/2 the server speaks first.
    assert len([server for server in servers.values() if server.read]) == len(clients)
    for client in clients:
        server = servers[client.ports[1], client.ports[0]]
        assert (len(client.written), len(client.read)) == (len(server.read), len(server.written))
        assert (client.written, client.read) == (server.read, server.written)
        assert server.process.pid in nginx.workers
        assert (server.process.comm, server.library.name) == ("nginx", "openssl")
        assert (client.connection.inferred, server.connection.inferred) == (inferred, False)
        assert client.connection.role in roles
        assert server.connection.role == "server"
    return clients


def only_client(
    tracer: Tracer, nginx: Nginx, *, inferred: bool = False, roles: Collection[str | None] = ("client",)
) -> Traced:
    """The one connection to this nginx."""
    [client] = clients(tracer, nginx, inferred=inferred, roles=roles)
    return client


@dataclass(frozen=True)
class Exchanged:
    """A whole request with its whole answer, decoded."""

    method: str
    target: str
    sent: bytes
    status: int
    received: bytes


def exchanged(tracer: Tracer, of: Traced) -> list[Exchanged]:
    """The HTTP exchanges of a connection, none of which lacks anything."""
    found = []
    for event in http_events(tracer.events, of):
        assert event.complete
        assert event.request is not None
        assert event.response is not None
        asked, answer = event.request, event.response
        assert asked.method is not None
        assert asked.target is not None
        assert answer.status is not None
        found.append(Exchanged(asked.method, asked.target, asked.content, answer.status, answer.content))
    return found


def targets(tracer: Tracer, of: Traced) -> list[tuple[str, int]]:
    """What was asked for on a connection, with the answers' status."""
    own = [(event.request, event.response) for event in http_events(tracer.events, of)]
    return [(asked.target or "", answer.status or 0) for asked, answer in own if asked and answer]


def plain_environment(home: Path) -> dict[str, str]:
    """For clients: a home without settings, English, no proxies."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "HOME": str(home), "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}


def run(command: Sequence[str | Path], environment: dict[str, str]) -> bytes:
    """Run a client; what it prints."""
    arguments = [str(part) for part in command]
    result = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=60, check=False
    )
    assert result.returncode == 0, f"{arguments}: exit status {result.returncode}: {result.stderr!r}"
    return result.stdout


def start_waiting(command: Sequence[str | Path], environment: dict[str, str]) -> c_programs.Running:
    """Start a process that becomes the command when it is told to go; its number stays the same."""
    shell = ["sh", "-c", 'echo ready $$; read word; exec "$@"', "sh"]
    return c_programs.start([*shell, *command], environment)


@dataclass(frozen=True)
class Followed:
    """A client that ran under tlstap, and what it printed once it was told to go."""

    tracer: Tracer
    pid: int
    output: list[str]


def follow(
    tlstap: RunTlstap, nginx: Nginx, command: Sequence[str | Path], file: Path, environment: dict[str, str]
) -> Followed:
    """Run a client that waits for the word, which is given when the TLS library in `file` is traced."""
    running = c_programs.start(command, environment)
    try:
        with tlstap("-p", running.pid, "-p", nginx.workers[0]) as tracer:
            tracer.wait_traced(file)
            running.go()
            output = running.finish()
    finally:
        running.process.kill()
    return Followed(tracer, running.pid, output)
