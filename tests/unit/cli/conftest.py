"""Captures, and tlstap as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.samples import NOW, connection, rendered

from tlstap.records import Closed, Data, Opened, Record
from tlstap.sinks import jsonlines

REQUEST = b"GET /index.html HTTP/1.1\r\nHost: example.com\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"


def exchanges(count: int = 1) -> list[Record]:
    """What the read step yields for a connection with so many equal exchanges."""
    of = connection()
    records: list[Record] = [Opened(of, of.process, NOW, True)]
    for number in range(count):
        sent, got = number * len(REQUEST), number * len(RESPONSE)
        records += [
            Data(of, of.process, NOW, "write", sent, len(REQUEST), REQUEST, "SSL_write", 1000),
            Data(of, of.process, NOW, "read", got, len(RESPONSE), RESPONSE, "SSL_read", 1000),
        ]
    sent, got = count * len(REQUEST), count * len(RESPONSE)
    return [*records, Closed(of, of.process, NOW, got, sent, 0, 0)]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture with one exchange."""
    path = tmp_path / "capture.json"
    path.write_text(rendered(jsonlines.SINK, exchanges()))
    return path


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `python -m tlstap` with these arguments; pipes unless said otherwise."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str | Path, **options: object) -> subprocess.Popen[bytes]:
        given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        environment = {
            name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TLSTAP_DEBUG")
        }
        extra = given.pop("env", {})
        assert isinstance(extra, dict)
        process = subprocess.Popen(
            [sys.executable, "-m", "tlstap", *map(str, arguments)],
            env=environment | {"TZ": "UTC", "TERM": "xterm"} | extra,
            **given,  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
