"""examples/tlstap-mbedtls, installed beside tlstap: lighttpd's mod_mbedtls fetched by curl,
and pygit2, whose TLS is Mbed TLS."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import examples
from tests.support.case import Case
from tests.support.certificates import Certificates
from tests.support.ends import exchanged, plain_environment, run
from tests.support.example_tracing import post_and_echo, tlstap_with
from tests.support.examples import Example
from tests.support.fixtures import RunTlstap
from tests.support.https_ends import life, only_ends
from tests.support.lighttpd import Lighttpd, run_lighttpd
from tests.support.programs import Programs

from tlstap import schema

SMALL = b"hello from Mbed TLS\n"
BIG = hashlib.shake_256(b"tlstap, mbedtls").digest(3_000_000)
VERSION = re.compile(r"[23]\.\d+\.\d+")

CLONE = """
import sys
import pygit2

authority, url, folder = sys.argv[1:]
pygit2.settings.set_ssl_cert_locations(authority, None)
print(pygit2.clone_repository(url, folder).head.target)
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return examples.install("tlstap-mbedtls", tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Lighttpd]:
    folder = tmp_path_factory.mktemp("lighttpd")
    with run_lighttpd("mbedtls", folder, certificates, {"small": SMALL, "big": BIG}) as running:
        yield running


@pytest.fixture
def openssl_server(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Lighttpd]:
    with run_lighttpd("openssl", tmp_path_factory.mktemp("lighttpd"), certificates, {}) as running:
        yield running


@pytest.fixture
def tlstap(tmp_path: Path, example: Example) -> RunTlstap:
    """tlstap with the example's plugin."""
    return tlstap_with(example, tmp_path)


@pytest.fixture
def case(tlstap: RunTlstap, certificates: Certificates, programs: Programs, records: Path) -> Case:
    """A program of pair.h that runs under tlstap with the example's plugin."""
    return Case(tlstap, certificates, programs, records)


@pytest.fixture
def curl(server: Lighttpd) -> list[str | Path]:
    return ["curl", "-sS", "--fail", "--cacert", server.certificates.authority]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return plain_environment(tmp_path)


def test_its_own_tests(example: Example) -> None:
    example.run_own_tests()


def test_listed_with_its_distribution(example: Example) -> None:
    assert re.search(r"^mbedtls +tlstap-mbedtls 0\.1\.0 +libraries mbedtls$", example.plugins(), re.MULTILINE)


def test_two_requests_on_one_connection(
    tlstap: RunTlstap, server: Lighttpd, curl: list[str | Path], environment: dict[str, str]
) -> None:
    with tlstap("-c", "lighttpd", "-c", "curl") as tracer:
        output = run([*curl, "--http1.1", server.url("/small"), server.url("/big")], environment)
    ends = only_ends(tracer, server.port)

    assert output == SMALL + BIG
    for end in (ends.client, ends.server):
        answers = [(one.method, one.target, one.status, one.received) for one in exchanged(tracer, end)]
        assert answers == [("GET", "/small", 200, SMALL), ("GET", "/big", 200, BIG)]
    assert ends.server.read.startswith(b"GET /small HTTP/1.1\r\n")
    assert ends.server.written.endswith(b"\r\n\r\n" + BIG)
    assert (ends.client.library.name, ends.server.library.name) == ("openssl", "mbedtls")
    assert ends.server.process.pid == server.process.pid
    assert VERSION.fullmatch(ends.server.library.version or "")
    assert ends.server.connection.alpn == "http/1.1"


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_post(
    tlstap: RunTlstap,
    server: Lighttpd,
    curl: list[str | Path],
    environment: dict[str, str],
    tmp_path: Path,
    http: str,
) -> None:
    ends = post_and_echo(tlstap, server, [*curl, http], environment, tmp_path)
    # lighttpd asks for it when it hands the request to a program.
    assert ends.server.connection.tls_version == ends.client.connection.tls_version


def test_pygit2(
    tlstap: RunTlstap, openssl_server: Lighttpd, environment: dict[str, str], tmp_path: Path
) -> None:
    """A clone over smart HTTP, by a process that does its TLS with Mbed TLS; OpenSSL is at the other end."""
    work, clone = tmp_path / "work", tmp_path / "clone"
    bare = openssl_server.folder / "files/one.git"
    git: list[str | Path] = ["git", "-C", work, "-c", "user.name=t", "-c", "user.email=t@localhost"]
    run(["git", "init", "-q", work], environment)
    (work / "big").write_bytes(BIG)
    run([*git, "add", "big"], environment)
    run([*git, "commit", "-q", "-m", "one"], environment)
    run(["git", "clone", "-q", "--bare", work, bare], environment)
    commit = run([*git, "rev-parse", "HEAD"], environment).decode().strip()

    authority, url = openssl_server.certificates.authority, openssl_server.url("/git/one.git")
    with tlstap("-c", "lighttpd", "-c", "python3") as tracer:
        output = run(["/usr/bin/python3", "-c", CLONE, authority, url, clone], environment)
    ends = only_ends(tracer, openssl_server.port)

    assert output.decode() == f"{commit}\n"
    assert (clone / "big").read_bytes() == BIG
    refs, pack = exchanged(tracer, ends.client)
    assert [refs, pack] == exchanged(tracer, ends.server)
    assert (refs.method, refs.target, refs.status) == (
        "GET",
        "/git/one.git/info/refs?service=git-upload-pack",
        200,
    )
    assert f"{commit} HEAD".encode() in refs.received
    assert (pack.method, pack.target, pack.status) == ("POST", "/git/one.git/git-upload-pack", 200)
    assert f"want {commit}".encode() in pack.sent
    assert len(pack.received) > len(BIG)
    assert ends.client.process.comm == "python3"
    assert (ends.client.library.name, ends.server.library.name) == ("mbedtls", "openssl")
    assert VERSION.fullmatch(ends.client.library.version or "")
    assert ends.client.connection.sni == "localhost"


def test_contexts_used_again(case: Case) -> None:
    """One context for each end, in static memory, reset or made anew for each connection, with failures."""
    case.run("mbedtls_contexts")
    case.check()
    assert len(case.traced) == 8
    for name, ports in case.ports().items():
        traced = case.end(name)
        assert traced.ports == ports
        assert traced.connection.role == ("client" if name.endswith("client") else "server")
        assert life(case.tracer, traced) == ["open", "handshake", "close"]
    [retried] = [int(line.split()[1]) for line in case.output if line.startswith("retried")]
    assert retried > 0, "no write was refused, so this proves less than it says"
    failed = [
        event for event in case.tracer.events if isinstance(event, schema.HandshakeEvent) and not event.ok
    ]
    assert len(failed) == 2
