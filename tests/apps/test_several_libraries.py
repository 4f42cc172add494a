"""Several TLS libraries at once: on one machine, and in one process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support import programs as c_programs
from tests.support.curl import curl_command, request_bytes
from tests.support.ends import clients, only_client, plain_environment, targets
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, Nginx
from tests.support.nss import make_database, tstclnt
from tests.support.traffic import connections
from tests.support.wget import wget_command, wget_request

REQUEST = b"GET /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return plain_environment(tmp_path)


PYTHON = """
import av, os, ssl, sys, urllib.request
openssl_url, gnutls_url, authority = sys.argv[1:]
print("ready", os.getpid(), flush=True)
input()
if openssl_url:
    context = ssl.create_default_context(cafile=authority)
    with urllib.request.urlopen(openssl_url, context=context) as answer:
        print(answer.read())
try:
    av.open(gnutls_url, options={"tls_verify": "1", "ca_file": authority, "user_agent": "tests"})
except av.error.InvalidDataError as error:  # no film, but an answer
    print(type(error).__name__)
"""


def python(nginx: Nginx, *urls: str) -> list[str | Path]:
    """A command that fetches one URL with OpenSSL, if it is given, and then one with PyAV."""
    return [sys.executable, "-c", PYTHON, *urls, nginx.certificates.authority]


def av_request(target: str, port: int) -> bytes:
    """What FFmpeg sends, byte by byte."""
    return (
        f"GET {target} HTTP/1.1\r\nUser-Agent: tests\r\nAccept: */*\r\nRange: bytes=0-\r\n"
        f"Connection: close\r\nHost: 127.0.0.1:{port}\r\nIcy-MetaData: 1\r\n\r\n"
    ).encode()


def test_pyav(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str]) -> None:
    """A wheel that brings a GnuTLS of its own."""
    running = c_programs.start(python(nginx, "", nginx.url("/json")), environment)
    with tlstap("-p", running.pid, "-p", nginx.workers[0]) as tracer:
        running.go()
        assert running.finish() == ["InvalidDataError"]
    client = only_client(tracer, nginx)

    assert client.written == av_request("/json", nginx.port)
    assert client.read.endswith(b"\r\n\r\n" + JSON)
    assert client.process.pid == running.pid
    assert client.library.name == "gnutls"
    assert client.library.version is not None
    assert client.library.version.startswith("3.8.")
    assert client.library.path is not None
    assert "/av.libs/libgnutls" in client.library.path


def test_two_libraries_in_one_process(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str]) -> None:
    urls = [nginx.url("/json"), nginx.url("/other")]
    running = c_programs.start(python(nginx, *urls), environment)
    with tlstap("-p", running.pid, "-p", nginx.workers[0]) as tracer:
        running.go()
        assert running.finish() == [repr(JSON), "InvalidDataError"]
    by_openssl, by_gnutls = clients(tracer, nginx)

    assert (by_openssl.library.name, by_gnutls.library.name) == ("openssl", "gnutls")
    assert by_openssl.process.pid == by_gnutls.process.pid == running.pid
    assert targets(tracer, by_openssl) == [("/json", 200)]
    assert by_openssl.read.endswith(JSON)
    assert by_gnutls.written == av_request("/other", nginx.port)
    assert by_gnutls.read.endswith(b"the other answer\n")


def start_all(commands: Sequence[Sequence[str | Path]], environment: dict[str, str]) -> list[bytes]:
    """Run clients at the same time; what each prints."""
    processes = [
        subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        for command in commands
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return outputs


def test_filter_by_library(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str]) -> None:
    """wget and curl at the same time, of which one uses GnuTLS."""
    commands = [wget_command(nginx, nginx.url("/random.bin")), curl_command(nginx, nginx.url("/random.bin"))]
    with tlstap("--lib", "gnutls") as by_gnutls, tlstap("--lib", "openssl") as by_openssl:
        by_wget, by_curl = start_all(commands, environment)
    [client] = [traced for traced in connections(by_gnutls.events) if set(traced.ports) & set(nginx.ports)]
    others = [traced for traced in connections(by_openssl.events) if nginx.port in traced.ports]

    assert (client.process.comm, client.read) == ("wget", by_wget)
    assert {traced.library.name for traced in connections(by_gnutls.events)} == {"gnutls"}
    assert sorted(traced.process.comm for traced in others) == ["curl", "nginx", "nginx"]
    assert [traced.read for traced in others if traced.process.comm == "curl"] == [by_curl]
    assert {traced.library.name for traced in connections(by_openssl.events)} == {"openssl"}


@pytest.fixture
def one_of_each(nginx: Nginx, tmp_path: Path) -> list[Sequence[str | Path]]:
    """Commands that fetch something with OpenSSL, with GnuTLS and with NSS."""
    (tmp_path / "request").write_bytes(REQUEST)
    database = make_database(tmp_path / "database", nginx.certificates.authority)
    return [
        curl_command(nginx, nginx.url("/other")),
        wget_command(nginx, nginx.url("/random.bin")),
        tstclnt(database, nginx.port, "1.3", tmp_path / "request"),
    ]


@pytest.mark.parametrize("options", [("--lib", "nss,gnutls"), ("--lib", "nss", "--lib", "gnutls")])
def test_filter_by_two_libraries(
    tlstap: RunTlstap,
    nginx: Nginx,
    environment: dict[str, str],
    one_of_each: list[Sequence[str | Path]],
    options: tuple[str, ...],
) -> None:
    with tlstap(*options) as tracer:
        _, by_wget, by_tstclnt = start_all(one_of_each, environment)
    ours = [traced for traced in connections(tracer.events) if set(traced.ports) & set(nginx.ports)]

    assert {traced.process.comm: (traced.library.name, traced.read) for traced in ours} == {
        "wget": ("gnutls", by_wget),
        "tstclnt": ("nss", by_tstclnt),
    }
    assert len(ours) == 2
    assert {traced.library.name for traced in connections(tracer.events)} == {"gnutls", "nss"}


def test_all_libraries_at_once(
    tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], one_of_each: list[Sequence[str | Path]]
) -> None:
    """curl, wget and tstclnt at the same time, and tlstap without options."""
    with tlstap() as tracer:
        responses = start_all(one_of_each, environment)
    found = {client.process.comm: client for client in clients(tracer, nginx)}

    assert set(found) == {"curl", "wget", "tstclnt"}
    assert [found[name].library.name for name in ("curl", "wget", "tstclnt")] == ["openssl", "gnutls", "nss"]
    assert [found[name].read for name in ("curl", "wget", "tstclnt")] == responses
    assert found["curl"].written == request_bytes(nginx, "/other")
    assert found["wget"].written == wget_request("/random.bin", nginx.port)
    assert found["tstclnt"].written == REQUEST
    assert len({client.process.pid for client in found.values()}) == 3
