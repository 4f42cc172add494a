"""A Redis server of the tests' own, which speaks TLS alone, and its client."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Certificates
from tests.support.nginx import free_port, listens
from tests.support.wait import wait_until


@dataclass(frozen=True)
class RedisServer:
    """A running server. `cli` is the command that begins to talk to it."""

    pid: int
    port: int
    cli: tuple[str, ...]


@contextmanager
def run_redis(folder: Path, certificates: Certificates) -> Iterator[RedisServer]:
    """Start redis-server with its files in `folder`, yield it when it listens, and stop it."""
    port = free_port()
    tls = {
        "tls-port": port,
        "tls-cert-file": certificates.certificate,
        "tls-key-file": certificates.key,
        "tls-ca-cert-file": certificates.authority,
        "tls-auth-clients": "no",
    }
    settings = {
        "port": 0,
        **tls,
        "bind": "127.0.0.1",
        "dir": folder,
        "save": "",
        "enable-debug-command": "yes",
    }
    # Every option is two arguments, also an empty one.
    options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(["redis-server", *options], stdin=subprocess.DEVNULL, stdout=file)
    try:

        def up() -> bool:
            assert process.poll() is None, f"redis-server ended: {log.read_text()}"
            return listens(port)

        wait_until(up, "redis-server to listen")
        cli = (
            "redis-cli",
            "--tls",
            "--cacert",
            str(certificates.authority),
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
        )
        yield RedisServer(process.pid, port, cli)
    finally:
        process.terminate()
        process.wait(timeout=20)
