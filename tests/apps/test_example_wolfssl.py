"""examples/tlstap-wolfssl, installed beside tlstap: curl fetches from lighttpd's mod_wolfssl."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import examples
from tests.support.certificates import Certificates
from tests.support.ends import exchanged, plain_environment, run
from tests.support.example_tracing import post_and_echo, tlstap_with
from tests.support.examples import Example
from tests.support.fixtures import RunTlstap
from tests.support.https_ends import only_ends
from tests.support.lighttpd import Lighttpd, run_lighttpd

SMALL = b"hello from wolfSSL\n"
BIG = hashlib.shake_256(b"tlstap, wolfssl").digest(3_000_000)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return examples.install("tlstap-wolfssl", tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Lighttpd]:
    folder = tmp_path_factory.mktemp("lighttpd")
    with run_lighttpd("wolfssl", folder, certificates, {"small": SMALL, "big": BIG}) as running:
        yield running


@pytest.fixture
def tlstap(tmp_path: Path, example: Example) -> RunTlstap:
    """tlstap with the example's plugin."""
    return tlstap_with(example, tmp_path)


@pytest.fixture
def curl(server: Lighttpd, tmp_path: Path) -> list[str | Path]:
    return ["curl", "-sS", "--fail", "--cacert", server.certificates.authority]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return plain_environment(tmp_path)


def test_its_own_tests(example: Example) -> None:
    example.run_own_tests()


def test_listed_with_its_distribution(example: Example) -> None:
    assert re.search(r"^wolfssl +tlstap-wolfssl 0\.1\.0 +libraries wolfssl$", example.plugins(), re.MULTILINE)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_two_requests_on_one_connection(
    tlstap: RunTlstap,
    server: Lighttpd,
    curl: list[str | Path],
    environment: dict[str, str],
    version: str,
) -> None:
    only = ["--http1.1", f"--tlsv{version}", "--tls-max", version]
    with tlstap("-c", "lighttpd", "-c", "curl") as tracer:
        output = run([*curl, *only, server.url("/small"), server.url("/big")], environment)
    ends = only_ends(tracer, server.port)

    assert output == SMALL + BIG
    for end in (ends.client, ends.server):
        answers = [(one.method, one.target, one.status, one.received) for one in exchanged(tracer, end)]
        assert answers == [("GET", "/small", 200, SMALL), ("GET", "/big", 200, BIG)]
    assert ends.server.read.startswith(b"GET /small HTTP/1.1\r\n")
    assert ends.server.written.endswith(b"\r\n\r\n" + BIG)
    assert (ends.client.library.name, ends.server.library.name) == ("openssl", "wolfssl")
    assert ends.client.connection.tls_version == f"TLSv{version}"
    assert ends.server.process.pid == server.process.pid
    assert re.fullmatch(r"5\.\d+\.\d+", ends.server.library.version or "")
    assert ends.server.connection.sni == "localhost"


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
    assert ends.server.connection.tls_version == "TLSv1.3"
