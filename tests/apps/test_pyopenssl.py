"""pyOpenSSL, whose OpenSSL is inside of the wheel of `cryptography`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.support.ends import Exchanged, exchanged, follow, only_client, plain_environment
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, POSTED, UPLOADED, Nginx
from tests.support.wheels import module, stripped_package

CLIENT = """
import os, socket, sys
from OpenSSL import SSL
port, authority, requests, answers = sys.argv[1:]
context = SSL.Context(SSL.TLS_CLIENT_METHOD)
context.load_verify_locations(authority)
context.set_verify(SSL.VERIFY_PEER)
print("ready", os.getpid(), flush=True)
input()
connection = SSL.Connection(context, socket.create_connection(("127.0.0.1", int(port))))
connection.set_tlsext_host_name(b"localhost")
connection.set_connect_state()
connection.do_handshake()
with open(requests, "rb") as file:
    connection.sendall(file.read())
with open(answers, "wb") as file:
    try:
        while True:
            file.write(connection.recv(65536))
    except SSL.ZeroReturnError:
        print("end")
"""
MODULE = "cryptography.hazmat.bindings._rust"
REQUESTS = (
    b"GET /json?by=pyOpenSSL HTTP/1.1\r\nHost: localhost\r\n\r\n"
    b"POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    % len(POSTED)
) + POSTED


@pytest.fixture(params=["symbols", "stripped"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The library as it comes, and without its symbols."""
    return module(MODULE) if request.param == "symbols" else stripped_package(MODULE, tmp_path)


def test_pyopenssl(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path, library: Path) -> None:
    (tmp_path / "requests").write_bytes(REQUESTS)
    command: list[str | Path] = [
        sys.executable, "-c", CLIENT, str(nginx.port), nginx.certificates.authority,
        tmp_path / "requests", tmp_path / "answers",
    ]  # fmt: skip
    # Of a package that isn't there, Python takes the installed one.
    environment = {**plain_environment(tmp_path), "PYTHONPATH": str(tmp_path)}
    followed = follow(tlstap, nginx, command, library, environment)
    client = only_client(followed.tracer, nginx, roles=["client" if library == module(MODULE) else None])

    assert followed.output == ["end"]
    assert client.written == REQUESTS
    assert client.read == (tmp_path / "answers").read_bytes()
    assert exchanged(followed.tracer, client) == [
        Exchanged("GET", "/json?by=pyOpenSSL", b"", 200, JSON),
        Exchanged("POST", "/upload", POSTED, 200, UPLOADED),
    ]
    assert client.process.pid == followed.pid
    assert client.process.comm.startswith("python")
    assert (client.library.name, client.library.path) == ("openssl", str(library))
