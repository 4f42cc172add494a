"""NSS: its own programs, libcurl with NSS, Thunderbird's build, and one whose functions can't be found."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.support import firefox
from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.fixtures import RunTlstap, system_library
from tests.support.nginx import RANDOM, Nginx
from tests.support.nss import (
    ClientRun,
    copied_libraries,
    curl_nss,
    in_use,
    make_database,
    run_client,
    run_selfserv,
    thunderbird,
    tstclnt,
    without_unwind_table,
)
from tests.support.programs import Programs
from tests.support.tracer import TLSTAP, Tracer
from tests.support.traffic import Traced, connections, losses, with_ports

from tlstap import schema

REQUEST = b"GET /random.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LOCATED = ["ssl_Read", "ssl_Recv", "ssl_Write", "ssl_Send", "ssl_WriteV", "ssl_Accept", "ssl_Close"]
VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Path:
    """With the authority, and the server's certificate and key."""
    return make_database(tmp_path_factory.mktemp("nss") / "database", certificates.authority, certificates)


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    """REQUEST, as tstclnt wants it."""
    file = tmp_path / "request"
    file.write_bytes(REQUEST)
    return file


def of_process(tracer: Tracer, pid: int) -> list[Traced]:
    """All connections of a process, after a look that nothing was lost."""
    assert losses(tracer.events) == []
    return [traced for traced in connections(tracer.events) if traced.process.pid == pid]


def check_client(tracer: Tracer, run: ClientRun, port: int, version: str) -> Traced:
    """tstclnt's only connection: exactly what it was given to send, and what it printed."""
    [client] = of_process(tracer, run.pid)
    assert (client.written, client.read) == (REQUEST, run.response)
    assert client.process.comm == "tstclnt"
    assert client.process.exe == "/usr/bin/tstclnt"
    assert client.ports[1] == port
    assert not client.connection.inferred
    assert client.connection.local is not None
    assert client.connection.remote is not None
    assert client.connection.local.address == client.connection.remote.address == "127.0.0.1"
    assert client.connection.role == "client"
    assert client.connection.sni == "localhost"
    # tstclnt asks for it once the handshake is done.
    assert client.connection.tls_version == f"TLSv{version}"
    return client


def check_nginx(tracer: Tracer, nginx: Nginx, client: Traced) -> None:
    """What nginx read and wrote on the same connection, with OpenSSL."""
    local, remote = client.ports
    assert local is not None
    assert remote is not None
    server = with_ports(connections(tracer.events), remote, local)
    assert (server.read, server.written) == (client.written, client.read)
    assert server.process.pid in nginx.workers
    assert server.library.name == "openssl"
    assert client.read.endswith(b"\r\n\r\n" + RANDOM)


@VERSIONS
def test_tstclnt_and_selfserv(tlstap: RunTlstap, database: Path, request_file: Path, version: str) -> None:
    with run_selfserv(database) as selfserv, tlstap("-c", "tstclnt", "-c", "selfserv") as tracer:
        run = run_client(tstclnt(database, selfserv.port, version, request_file))
    client = check_client(tracer, run, selfserv.port, version)
    [server] = of_process(tracer, selfserv.pid)

    head, _, body = run.response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert body.startswith(REQUEST)
    assert (server.read, server.written) == (REQUEST, run.response)
    assert server.ports == tuple(reversed(client.ports))
    assert server.connection.role in (None, "server")  # its accept had begun before the probes came
    assert server.process.comm == "selfserv"
    for traced in (client, server):
        assert traced.library.name == "nss"
        assert traced.library.version is not None
        assert traced.library.version.startswith("3.")
        assert {event.function for event in traced.events} <= set(LOCATED)


def test_accepted_while_tracing(tlstap: RunTlstap, database: Path, request_file: Path) -> None:
    """Nobody saw selfserv begin to wait for the first client; the second is known from its birth."""
    with run_selfserv(database) as selfserv, tlstap("-p", selfserv.pid) as tracer:
        runs = [run_client(tstclnt(database, selfserv.port, "1.3", request_file)) for _ in range(2)]
    servers = of_process(tracer, selfserv.pid)
    assert [(server.read, server.written) for server in servers] == [(REQUEST, run.response) for run in runs]
    assert servers[1].connection.role == "server"
    [opened] = [
        event
        for event in tracer.events
        if isinstance(event, schema.OpenEvent) and event.connection.id == servers[1].id
    ]
    assert opened.from_start


@VERSIONS
def test_tstclnt_and_nginx(
    tlstap: RunTlstap, nginx: Nginx, database: Path, request_file: Path, version: str
) -> None:
    with tlstap("-c", "tstclnt", "-c", "nginx") as tracer:
        run = run_client(tstclnt(database, nginx.port, version, request_file))
    client = check_client(tracer, run, nginx.port, version)
    check_nginx(tracer, nginx, client)


def test_libcurl_nss(
    tlstap: RunTlstap,
    nginx: Nginx,
    database: Path,
    programs: Programs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An application that does its own buffering beneath TLS, as libcurl does with a layer of its own."""
    monkeypatch.setenv("SSL_DIR", str(database))
    url, response = nginx.url("/random.bin", "localhost"), tmp_path / "response"
    running = c_programs.start(curl_nss().command(programs.path("nss_curl"), url, response))
    workers = [argument for pid in nginx.workers for argument in ("-p", pid)]
    with tlstap("-p", running.pid, *workers) as tracer:
        running.go()
        [port] = running.finish()
    [client] = of_process(tracer, running.pid)

    assert client.ports == (int(port), nginx.port)
    assert client.written == (
        f"GET /random.bin HTTP/1.1\r\nHost: localhost:{nginx.port}\r\nAccept: */*\r\n\r\n".encode()
    )
    assert client.library.name == "nss"
    assert client.connection.sni == "localhost"
    assert response.read_bytes() == RANDOM
    check_nginx(tracer, nginx, client)


@VERSIONS
def test_thunderbirds_nss(
    tlstap: RunTlstap, nginx: Nginx, database: Path, request_file: Path, tmp_path: Path, version: str
) -> None:
    """Built by clang, and newer; NSS promises that programs for older ones work with it."""
    libraries = copied_libraries(thunderbird(), tmp_path / "libraries")
    with in_use(libraries), tlstap("-c", "tstclnt", "-c", "nginx") as tracer:
        run = run_client(tstclnt(database, nginx.port, version, request_file), libraries)
    client = check_client(tracer, run, nginx.port, version)
    check_nginx(tracer, nginx, client)

    assert client.library.path == str(libraries / "libssl3.so")
    assert {event.function for event in client.events} <= set(LOCATED)


@VERSIONS
def test_fallback(
    tlstap: RunTlstap, nginx: Nginx, database: Path, request_file: Path, tmp_path: Path, version: str
) -> None:
    """Where the functions aren't found, NSPR's stand in; other programs are still shown once."""
    original = system_library("libssl3.so")
    libraries = copied_libraries(original.parent, tmp_path / "libraries")
    without_unwind_table(original, libraries / "libssl3.so")
    command = tstclnt(database, nginx.port, version, request_file)
    with in_use(libraries), tlstap("-c", "tstclnt", "-c", "nginx") as tracer:
        standing_in = run_client(command, libraries)
        usual = run_client(command)
    client = check_client(tracer, standing_in, nginx.port, version)
    other = check_client(tracer, usual, nginx.port, version)

    check_nginx(tracer, nginx, client)
    check_nginx(tracer, nginx, other)
    assert {event.function for event in client.events} <= {"PR_Read", "PR_Recv", "PR_Write", "PR_Send"}
    assert {event.function for event in other.events} <= set(LOCATED)
    about = [line for line in tracer.messages if str(libraries / "libssl3.so") in line]
    assert any("PR_Read" in line for line in about), tracer.messages


def inspected(file: Path) -> list[tuple[str, str]]:
    """The functions that `tlstap inspect` lists, each with how it was found."""
    environment = {**os.environ, "COLUMNS": "200"}
    result = subprocess.run(
        [TLSTAP, "inspect", file], capture_output=True, text=True, check=True, env=environment
    )
    rows: Iterable[list[str]] = (line.split() for line in result.stdout.splitlines())
    return [(row[0], row[2]) for row in rows if len(row) > 3 and row[1].startswith("0x")]


@pytest.mark.parametrize("name", ["Debian", "Firefox", "Thunderbird"])
def test_inspect(name: str) -> None:
    """gcc's and clang's builds, stripped."""
    if name == "Debian":
        file = system_library("libssl3.so")
    else:
        file = firefox.installed().libssl3 if name == "Firefox" else thunderbird() / "libssl3.so"
    found = inspected(file)
    assert [function for function, means in found if means == "locator"] == LOCATED
    assert ("SSL_ImportFD", "dynsym") in found


def test_inspect_says_what_is_not_found(tmp_path: Path) -> None:
    file = without_unwind_table(system_library("libssl3.so"), tmp_path / "libssl3.so")
    found = inspected(file)
    assert not set(LOCATED) & {function for function, _ in found}
    assert ("SSL_ImportFD", "dynsym") in found
