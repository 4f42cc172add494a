"""curl_cffi, a wheel with libcurl and BoringSSL in one library: with its symbols and without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.support import http2
from tests.support.ends import Exchanged, exchanged, follow, only_client, plain_environment
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, POSTED, UPLOADED, Nginx
from tests.support.wheels import module, stripped_package

CLIENT = """
import os, sys
from curl_cffi import requests
url, authority, browser = sys.argv[1:]
print("ready", os.getpid(), flush=True)
input()
settings = {"impersonate": browser} if browser else {"headers": {"User-Agent": "tests"}}
with requests.Session(verify=authority, trust_env=False, **settings) as session:
    print(session.get(url + "/json?by=curl_cffi").content)
    print(session.post(url + "/upload", data=bytes(place % 251 for place in range(100_000))).content)
"""
MODULE = "curl_cffi._wrapper"


@pytest.fixture(params=["symbols", "stripped"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The library as it comes, and without its symbols."""
    return module(MODULE) if request.param == "symbols" else stripped_package(MODULE, tmp_path)


def requests(port: int) -> bytes:
    """What the client sends if it is not to look like a browser, byte by byte."""
    common = f"Host: 127.0.0.1:{port}\r\nAccept-Encoding: gzip, deflate, br\r\nUser-Agent: tests\r\n"
    posted = f"Content-Type: application/octet-stream\r\nContent-Length: {len(POSTED)}\r\n"
    heads = f"GET /json?by=curl_cffi HTTP/1.1\r\n{common}\r\nPOST /upload HTTP/1.1\r\n{common}{posted}\r\n"
    return heads.encode() + POSTED


@pytest.mark.parametrize("version", ["1.2", "1.3", "h2"])
def test_curl_cffi(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path, library: Path, version: str) -> None:
    port = {"1.2": nginx.tls12_port, "1.3": nginx.tls13_port, "h2": nginx.http2_port}[version]
    browser = "chrome" if version == "h2" else ""
    command: list[str | Path] = [
        sys.executable,
        "-c",
        CLIENT,
        nginx.url("", port=port),
        nginx.certificates.authority,
        browser,
    ]
    # Of a package that isn't there, Python takes the installed one.
    environment = {**plain_environment(tmp_path), "PYTHONPATH": str(tmp_path)}
    followed = follow(tlstap, nginx, command, library, environment)
    client = only_client(followed.tracer, nginx, roles=["client" if library == module(MODULE) else None])

    assert followed.output == [repr(JSON), repr(UPLOADED)]
    if version == "h2":
        assert client.written.startswith(http2.PREFACE)
        assert http2.bodies(client.written) == [POSTED]
        assert http2.bodies(client.read) == [JSON, UPLOADED]
    else:
        assert client.written == requests(port)
        assert exchanged(followed.tracer, client) == [
            Exchanged("GET", "/json?by=curl_cffi", b"", 200, JSON),
            Exchanged("POST", "/upload", POSTED, 200, UPLOADED),
        ]
    assert client.process.pid == followed.pid
    assert client.process.comm.startswith("python")
    assert (client.library.name, client.library.path) == ("boringssl", str(library))
