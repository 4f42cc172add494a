"""Bun's fetch: what it sends and receives is, byte for byte, what nginx receives and sends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support import bun
from tests.support.ends import Exchanged, exchanged, follow, only_client, plain_environment
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, POSTED, UPLOADED, Nginx

CLIENT = """
const [url, authority] = process.argv.slice(1);
const tls = {ca: await Bun.file(authority).text()};
console.log("ready", process.pid);
for await (const line of console) break;
const got = await fetch(url + "/json?by=bun", {tls});
console.log(JSON.stringify(await got.text()));
const body = new Uint8Array(100000).map((_, place) => place % 251);
const posted = await fetch(url + "/upload", {tls, method: "POST", body});
console.log(JSON.stringify(await posted.text()));
process.exit(0);
"""


def request(method: str, target: str, port: int, *headers: str) -> bytes:
    """What Bun sends, byte by byte."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Connection: keep-alive",
        f"User-Agent: Bun/{bun.VERSION}",
        "Accept: */*",
        f"Host: 127.0.0.1:{port}",
        "Accept-Encoding: gzip, deflate, br, zstd",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_fetch(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path, version: str) -> None:
    port = nginx.tls12_port if version == "1.2" else nginx.tls13_port
    program = bun.available()
    command: list[str | Path] = [
        program,
        "-e",
        CLIENT,
        nginx.url("", port=port),
        nginx.certificates.authority,
    ]
    followed = follow(tlstap, nginx, command, program, plain_environment(tmp_path))
    client = only_client(followed.tracer, nginx, roles=[None])
    posted = request("POST", "/upload", port, f"Content-Length: {len(POSTED)}") + POSTED

    assert [json.loads(line).encode() for line in followed.output] == [JSON, UPLOADED]
    assert client.written == request("GET", "/json?by=bun", port) + posted
    assert exchanged(followed.tracer, client) == [
        Exchanged("GET", "/json?by=bun", b"", 200, JSON),
        Exchanged("POST", "/upload", POSTED, 200, UPLOADED),
    ]
    assert client.process.pid == followed.pid
    assert client.process.exe == str(program)
    assert (client.library.name, client.library.path) == ("boringssl", str(program))
