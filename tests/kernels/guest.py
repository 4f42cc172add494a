"""What is checked inside a guest: tlstap on this kernel, seen from outside, against a server of its own.

`python -m tests.kernels.guest REPORT` writes a line of JSON for each check: name, ok, text.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shlex
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server
from typing import TextIO

import tests
from tests.support.certificates import Certificates, make_certificates
from tests.support.nss import make_database, tstclnt
from tests.support.tracer import TLSTAP, read_events, run_tlstap
from tests.support.traffic import Traced, connections, losses
from tests.support.wait import wait_until
from tlstap import schema

SMALL = b"<p>Gr\xc3\xbc\xc3\x9fe</p>\n"
LARGE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(32768))
STATUS = 7
SECONDS_TO_EXIT = 2.0
"""Half a second is what a real machine takes; an emulated one is many times slower."""


@dataclass(frozen=True)
class Client:
    """A program that fetches /small: its name, its file, its TLS library and the shell command."""

    comm: str
    exe: str
    library: str
    command: str


@dataclass
class Exchange:
    """What the server received and sent on a connection."""

    port: int
    request: bytes
    response: bytes


@dataclass
class Server:
    """An HTTPS server on 127.0.0.1 that knows two files."""

    certificates: Certificates
    exchanges: list[Exchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificates.certificate, self.certificates.key)
        self._listener = create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            accepted, (_, port) = self._listener.accept()
            with self._context.wrap_socket(accepted, server_side=True) as connection:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(4096)
                body = LARGE if request.startswith(b"GET /large ") else SMALL
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                response = head.encode() + body
                connection.sendall(response)
                self.exchanges.append(Exchange(port, request, response))

    def fetch(self, path: str) -> str:
        """A shell command that fetches a path with curl; -q: no ~/.curlrc."""
        return f"curl -q -sk --noproxy '*' -o /dev/null https://127.0.0.1:{self.port}{path}"

    def curl(self) -> Client:
        """OpenSSL."""
        return Client("curl", "/usr/bin/curl", "openssl", self.fetch("/small"))

    def wget(self) -> Client:
        """GnuTLS."""
        url = f"https://127.0.0.1:{self.port}/small"
        command = f"wget --no-config --no-proxy --no-check-certificate -qO /dev/null {url}"
        return Client("wget", "/usr/bin/wget", "gnutls", command)

    def tstclnt(self, folder: Path) -> Client:
        """NSS; needs an empty folder."""
        database = make_database(folder / "nss", self.certificates.authority)
        request = folder / "request"
        request.write_bytes(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
        command = shlex.join([*tstclnt(database, self.port, "1.3", request)])
        return Client("tstclnt", "/usr/bin/tstclnt", "nss", f"{command} >/dev/null 2>&1")


def kernel_version() -> tuple[int, int]:
    """That of the guest."""
    major, minor = re.findall(r"\d+", platform.release())[:2]
    return int(major), int(minor)


def check_doctor() -> str:
    """Everything that this kernel is known to have is found, and the program loads."""
    result = subprocess.run([TLSTAP, "doctor", "--json"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"status {result.returncode}: {result.stdout} {result.stderr}"
    found = {check["name"]: (check["ok"], check["text"]) for check in json.loads(result.stdout)["checks"]}
    multi = "uprobe_multi" in found["uprobes"][1]
    assert multi == (kernel_version() >= (6, 6)), found["uprobes"]
    assert found["type information"][0], found["type information"]
    assert found["BPF program"] == (True, "compiles and loads"), found["BPF program"]
    means = "tracepoints" if kernel_version() >= (6, 3) else "kprobes"
    assert found["addresses"][0] and means in found["addresses"][1], found["addresses"]
    return f"{'multi' if multi else 'single'}, addresses {found['addresses'][1]}"


def check_command(server: Server, folder: Path, client: Client, *options: str, addresses: bool = True) -> str:
    """A command's child is traced to the byte; tlstap ends with it, soon, and with its status."""
    output, ended = folder / "command.json", folder / "ended"
    script = f"{client.command}; cat /proc/uptime >{ended}; exit {STATUS}"
    command = [str(TLSTAP), *options, "-f", "json", "-o", str(output), "--", "sh", "-c", script]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - float(ended.read_text().split()[0])
    assert result.returncode == STATUS, f"status {result.returncode}: {result.stderr}"
    events = read_events(output)
    traced = check_traffic(events, server, client, addresses)
    exchanges = [event for event in events if isinstance(event, schema.HttpEvent)]
    assert len(exchanges) == 1 and exchanges[0].complete, f"not one whole exchange: {exchanges}"
    assert exchanges[0].response and exchanges[0].response.status == 200, exchanges[0]
    assert "nothing lost" in result.stderr, result.stderr
    # The clock of the script has a resolution of 10 ms.
    assert seconds < SECONDS_TO_EXIT, f"ended {seconds:.2f} s after the command"
    return (
        f"{len(traced.written)} and {len(traced.read)} bytes, {ends_of(traced)}, ended after {seconds:.2f} s"
    )


def check_signature(server: Server, folder: Path, *options: str) -> str:
    """A program with OpenSSL inside and no symbol: what it moves is shown once it agrees with its socket."""
    program, request, output = folder / "t-static", folder / "request", folder / "signature.json"
    source = Path(tests.__file__).parent / "bpf/programs/bio_client.c"
    static = ["-l:libssl.a", "-l:libcrypto.a", "-ldl", "-lpthread"]
    subprocess.run(["gcc", "-O1", "-s", "-o", program, source, *static], check=True)
    request.write_bytes(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
    client = [str(program), f"127.0.0.1:{server.port}", str(request), str(folder / "response")]
    command = [str(TLSTAP), *options, "-f", "json", "-o", str(output), "--", *client]
    result = subprocess.run(command, input="go\n", capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"status {result.returncode}: {result.stderr}"
    assert "nothing lost" in result.stderr and "withdrawn" not in result.stderr, result.stderr
    traced = check_traffic(
        read_events(output), server, Client("t-static", str(program), "openssl", ""), addresses=True
    )
    return f"{len(traced.written)} and {len(traced.read)} bytes, {ends_of(traced)}"


def check_download(server: Server, folder: Path, *options: str) -> str:
    """Every byte of 1 MiB, and an end soon after SIGTERM."""
    with run_tlstap(folder / "download.json", *options) as tracer:
        subprocess.run(server.fetch("/large"), shell=True, check=True)
        whole = len(server.exchanges[-1].response)
        wait_until(lambda: output_of(tracer.output, whole), f"{whole} bytes", 60)
    traced = check_traffic(tracer.events, server, server.curl(), addresses=True)
    body = traced.read.partition(b"\r\n\r\n")[2]
    digest = hashlib.sha256(body).hexdigest()
    assert digest == hashlib.sha256(LARGE).hexdigest(), f"SHA-256 of {len(body)} bytes is {digest}"
    assert tracer.seconds_to_stop < SECONDS_TO_EXIT, f"ended {tracer.seconds_to_stop:.2f} s after SIGTERM"
    return f"1 MiB, SHA-256 {digest[:8]}, ended after {tracer.seconds_to_stop:.2f} s"


def output_of(path: Path, size: int) -> bool:
    """Whether the data events that were written so far carry that many bytes (read)."""
    lines = path.read_text().splitlines(keepends=True)
    data = [json.loads(line) for line in lines if line.endswith("\n") and '"data"' in line]
    read = [int(one["length"]) for one in data if one["kind"] == "data" and one["direction"] == "read"]
    return sum(read) >= size


def check_traffic(events: list[schema.Event], server: Server, client: Client, addresses: bool) -> Traced:
    """The client's only connection is what the server saw of it."""
    assert not losses(events), losses(events)
    found = connections(events)
    assert len(found) == 1, f"{len(found)} connections: {[one.ports for one in found]}"
    [traced], exchange = found, server.exchanges[-1]
    assert traced.written == exchange.request, (traced.written, exchange.request)
    assert traced.read == exchange.response, (traced.read[:200], exchange.response[:200])
    assert (traced.process.comm, traced.process.exe) == (client.comm, client.exe), traced.process
    assert traced.library.name == client.library, traced.library
    if addresses:
        assert ends_of(traced) == f"127.0.0.1:{exchange.port} -> 127.0.0.1:{server.port}", ends_of(traced)
        assert traced.connection.inferred is False, traced.connection
    else:
        assert traced.connection.local is traced.connection.remote is None, traced.connection
    return traced


def ends_of(traced: Traced) -> str:
    """Local and remote end."""
    ends = (traced.connection.local, traced.connection.remote)
    return " -> ".join(f"{end.address}:{end.port}" if end else "unknown" for end in ends)


def checks(server: Server, folder: Path) -> dict[str, Callable[[], str]]:
    """Those that this kernel must pass, by what is asked of tlstap."""
    curl = server.curl()
    found: dict[str, Callable[[], str]] = {
        "doctor": check_doctor,
        "command": lambda: check_command(server, folder, curl),
        "GnuTLS": lambda: check_command(server, folder, server.wget()),
        "NSS": lambda: check_command(server, folder, server.tstclnt(folder)),
        "signature": lambda: check_signature(server, folder),
        "download": lambda: check_download(server, folder, "-c", "curl"),
        "filters": lambda: check_download(server, folder, "--exe", "/usr/bin/curl", "-u", "0"),
        "--sockets syscall": lambda: check_command(server, folder, curl, "--sockets", "syscall"),
        "--sockets none": lambda: check_command(server, folder, curl, "--sockets", "none", addresses=False),
    }
    if kernel_version() >= (6, 3):
        found["--sockets kprobe"] = lambda: check_command(server, folder, curl, "--sockets", "kprobe")
    if kernel_version() >= (6, 6):
        found["--attach single"] = lambda: check_command(server, folder, curl, "--attach", "single")
    return found


def report(output: TextIO, name: str, ok: bool, text: str) -> None:
    """Tell the host."""
    print(json.dumps({"name": name, "ok": ok, "text": text}), file=output, flush=True)


def main() -> None:
    """Run the checks; the first argument is the file to report to."""
    with open(sys.argv[1], "w") as output, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report(output, "kernel", True, platform.release())
        certificates = folder / "certificates"
        certificates.mkdir()
        server = Server(make_certificates(certificates))
        for what, check in checks(server, folder).items():
            try:
                report(output, what, True, check())
            except Exception:
                report(output, what, False, traceback.format_exc(limit=-3)[-4000:])
        report(output, "end", True, "")


if __name__ == "__main__":
    main()
