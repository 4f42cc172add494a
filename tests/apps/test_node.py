"""Node.js, with and without its symbols: as a client of nginx, and as a server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.support import node
from tests.support import programs as c_programs
from tests.support.curl import curl_command, request_bytes
from tests.support.ends import Exchanged, exchanged, follow, only_client, plain_environment
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, POSTED, UPLOADED, Nginx
from tests.support.traffic import connections, losses
from tests.support.wheels import strip

CLIENT = """
const https = require("node:https");
const fs = require("node:fs");
const [url, authority] = process.argv.slice(1);
const agent = new https.Agent({ca: fs.readFileSync(authority), keepAlive: true, maxSockets: 1});
const send = (method, path, body) => new Promise((resolve, reject) => {
    const request = https.request(url + path, {method, agent}, (answer) => {
        let text = "";
        answer.setEncoding("latin1");
        answer.on("data", (part) => text += part);
        answer.on("end", () => resolve(text));
    });
    request.on("error", reject);
    request.end(body);
});
console.log("ready " + process.pid);
process.stdin.once("data", async () => {
    process.stdin.destroy();
    console.log(JSON.stringify(await send("GET", "/json?by=node")));
    const body = Buffer.alloc(100000).map((_, place) => place % 251);
    console.log(JSON.stringify(await send("POST", "/upload", body)));
    agent.destroy();
});
"""

SERVER = """
const https = require("node:https");
const fs = require("node:fs");
const [certificate, key] = process.argv.slice(1);
const options = {cert: fs.readFileSync(certificate), key: fs.readFileSync(key)};
const server = https.createServer(options, (request, answer) => {
    request.resume();
    request.on("end", () => {
        answer.sendDate = false;
        answer.end(`${request.method} ${request.url}\\n`);
        answer.on("close", () => server.close());
    });
});
console.log("ready " + process.pid);
process.stdin.once("data", () => {
    process.stdin.destroy();
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));
});
"""


@pytest.fixture(params=["symbols", "stripped"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Node.js as it comes, and without its symbol table."""
    original = node.available().executable
    return original if request.param == "symbols" else strip(original, tmp_path / "node")


def requests(port: int) -> bytes:
    """What the client sends, byte by byte."""
    got = f"GET /json?by=node HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: keep-alive\r\n\r\n"
    posted = f"POST /upload HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: keep-alive\r\n"
    return f"{got}{posted}Content-Length: {len(POSTED)}\r\n\r\n".encode() + POSTED


def test_client(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path, program: Path) -> None:
    command: list[str | Path] = [program, "-e", CLIENT, nginx.url(""), nginx.certificates.authority]
    followed = follow(tlstap, nginx, command, program, plain_environment(tmp_path))
    client = only_client(followed.tracer, nginx, inferred=True)

    assert [json.loads(line).encode() for line in followed.output] == [JSON, UPLOADED]
    assert client.written == requests(nginx.port)
    assert exchanged(followed.tracer, client) == [
        Exchanged("GET", "/json?by=node", b"", 200, JSON),
        Exchanged("POST", "/upload", POSTED, 200, UPLOADED),
    ]
    assert client.process.pid == followed.pid
    assert client.process.exe == str(program)
    assert (client.library.name, client.library.path) == ("openssl", str(program))


def test_server(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path, program: Path) -> None:
    """curl asks it."""
    certificates = nginx.certificates
    command: list[str | Path] = [program, "-e", SERVER, certificates.certificate, certificates.key]
    running = c_programs.start(command, plain_environment(tmp_path))
    with tlstap("-p", running.pid) as tracer:
        tracer.wait_traced(program)
        running.go()
        port = int(running.line())
        url = nginx.url("/hello", port=port)
        asked = subprocess.run(curl_command(nginx, url), capture_output=True, check=True, timeout=60)
        running.finish()
    [server] = connections(tracer.events)

    assert asked.stdout.endswith(b"\r\n\r\nGET /hello\n")
    assert server.written == asked.stdout
    assert server.read == request_bytes(nginx, "/hello", port=port)
    assert losses(tracer.events) == []
    assert server.ports[0] == port
    assert server.connection.role == "server"
    assert (server.process.pid, server.process.exe) == (running.pid, str(program))
    assert (server.library.name, server.library.path) == ("openssl", str(program))
