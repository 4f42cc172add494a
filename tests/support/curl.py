"""curl, with a record of the exact bytes that it sent and received."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.nginx import Nginx


@dataclass(frozen=True)
class CurlRun:
    """What curl did on one connection: its port, and the plaintext of the answers as they came."""

    local_port: int
    response: bytes


def request_bytes(
    nginx: Nginx,
    target: str,
    *headers: str,
    method: str = "GET",
    host: str = "127.0.0.1",
    port: int | None = None,
    body: bytes = b"",
) -> bytes:
    """The request that `curl()` sends, byte by byte."""
    name = f"[{host}]" if ":" in host else host
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {name}:{port or nginx.port}",
        "User-Agent: tests",
        "Accept: */*",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def curl_command(nginx: Nginx, *arguments: str | Path) -> list[str]:
    """A command that gives out the answer exactly as it comes, head and all."""
    # -q first: no ~/.curlrc; --noproxy: whatever the environment says, this goes to loopback.
    options = [
        "--noproxy",
        "*",
        "-sS",
        "--cacert",
        nginx.certificates.authority,
        "-A",
        "tests",
        "-i",
        "--raw",
    ]
    return ["curl", "-q", *map(str, options), *map(str, arguments)]


def curl(nginx: Nginx, folder: Path, *urls: str, options: Sequence[str | Path] = ()) -> CurlRun:
    """Fetch URLs over one connection; the answers are stored in `folder`."""
    outputs = [folder / f"response-{number}" for number in range(len(urls))]
    targets = [part for url, output in zip(urls, outputs, strict=True) for part in (url, "-o", output)]
    command = curl_command(nginx, *options, "-w", "%{local_port}\n", *targets)
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    ports = set(result.stdout.split())
    assert len(ports) == 1, f"curl used several connections: {result.stdout}"
    return CurlRun(int(ports.pop()), b"".join(output.read_bytes() for output in outputs))
