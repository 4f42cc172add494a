"""OpenSSL's own programs and BIO_f_ssl clients, in this system's version and in older and newer ones."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, Nginx, free_port
from tests.support.openssl import SUITES, OpenSsl, Suite, available
from tests.support.programs import Programs
from tests.support.traffic import connections, losses, with_ports
from tests.support.wait import wait_until

REQUEST = b"GET /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=SUITES, ids=lambda suite: suite.name)
def other(request: pytest.FixtureRequest) -> OpenSsl:
    """Each other version; the test fails if one can't be had."""
    suite: Suite = request.param
    try:
        return available(suite)
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)


def test_s_client(tlstap: RunTlstap, nginx: Nginx) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{nginx.port}", "-quiet", "-ign_eof"]
    with tlstap("-c", "openssl") as tracer:
        result = subprocess.run(command, input=REQUEST, capture_output=True, check=True, timeout=60)
    [traced] = [traced for traced in connections(tracer.events) if nginx.port in traced.ports]

    assert result.stdout.endswith(b"\r\n\r\n" + JSON)
    assert (traced.written, traced.read) == (REQUEST, result.stdout)
    assert traced.process.comm == "openssl"


def test_bio_client(tlstap: RunTlstap, nginx: Nginx, programs: Programs, tmp_path: Path) -> None:
    request, response = tmp_path / "request", tmp_path / "response"
    request.write_bytes(REQUEST)
    running = c_programs.start([programs.path("bio_client"), f"127.0.0.1:{nginx.port}", request, response])
    with tlstap("-p", running.pid) as tracer:
        running.go()
        [port] = running.finish()
    traced = with_ports(connections(tracer.events), int(port), nginx.port)

    assert response.read_bytes().endswith(b"\r\n\r\n" + JSON)
    assert (traced.written, traced.read) == (REQUEST, response.read_bytes())
    assert losses(tracer.events) == []


@contextmanager
def s_server(version: OpenSsl, certificates: Certificates, folder: Path) -> Iterator[tuple[int, int]]:
    """`openssl s_server -WWW` on loopback, which serves `folder`; its pid and port."""
    port = free_port()
    command = version.openssl(
        "s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificates.certificate,
        "-key", certificates.key, "-WWW", "-quiet",
    )  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listening(port), "s_server to listen")
        yield process.pid, port
    finally:
        process.kill()
        process.communicate()


def _listening(port: int) -> bool:
    """Without a connection, which a simple server would take for its client."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()


@pytest.mark.parametrize("tls", ["tls1_2", "tls1_3"])
def test_other_version_both_ends(
    tlstap: RunTlstap, certificates: Certificates, tmp_path: Path, other: OpenSsl, tls: str
) -> None:
    """s_client and s_server of that version talk to one another; both are followed."""
    content = b"".join(b"line %d of a file\n" % number for number in range(3000))
    (tmp_path / "file.txt").write_bytes(content)
    request = b"GET /file.txt HTTP/1.0\r\n\r\n"
    with s_server(other, certificates, tmp_path) as (server_pid, port):
        command = other.openssl("s_client", "-connect", f"127.0.0.1:{port}", f"-{tls}", "-quiet", "-ign_eof")
        # A server that is blocked in a read when the probes come would return from a call whose entry
        # nobody saw, so the connection begins afterwards.
        script = 'echo "ready $$"; read go; out=$1; shift; exec "$@" >"$out" 2>/dev/null'
        client = c_programs.start(["sh", "-c", script, "sh", tmp_path / "answer", *command])
        with tlstap("-p", client.pid, "-p", server_pid) as tracer:
            client.go()
            client.process.communicate(request.decode(), timeout=60)
        answer = (tmp_path / "answer").read_bytes()
    found = connections(tracer.events)
    [client_end] = [traced for traced in found if traced.process.pid == client.pid]
    [server_end] = [traced for traced in found if traced.process.pid == server_pid]

    assert answer == b"HTTP/1.0 200 ok\r\nContent-type: text/plain\r\n\r\n" + content
    assert (client_end.written, client_end.read) == (request, answer)
    assert (server_end.read, server_end.written) == (request, answer)
    assert len(found) == 2
    assert client_end.ports == tuple(reversed(server_end.ports))
    for traced in found:
        assert traced.library.version == other.version
        assert traced.library.name == "openssl"


@pytest.mark.parametrize("name", ["3.5", "unstable"])
def test_program_with_newer_library(
    tlstap: RunTlstap, certificates: Certificates, programs: Programs, records: Path, name: str
) -> None:
    """The _ex functions where SSL_write_ex is a jump into SSL_write_ex2."""
    other = available(next(suite for suite in SUITES if suite.name == name))
    if not other.version.startswith("3."):
        pytest.fail(f"{other.version} has another ABI than the program; choose another suite")
    arguments = c_programs.arguments(records, certificates, "ex", "1.3", "tcp", 2, 3, 20000)
    running = c_programs.start(other.command(programs.path("messages"), *arguments))
    with tlstap("-p", running.pid) as tracer:
        running.go()
        running.finish()
    expected = sorted((streams.read, streams.written) for streams in c_programs.recorded(records).values())

    assert sorted((traced.read, traced.written) for traced in connections(tracer.events)) == expected
    assert len(expected) == 4
