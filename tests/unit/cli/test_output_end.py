"""The end of an output is written whatever ended the run; a HAR document is whole then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from tests.support import har
from tests.support.samples import NOW, connection, exchange, rendered, request, response
from tests.support.wait import wait_until
from tests.unit.cli.conftest import REQUEST, Start, exchanges

from tlstap.cli import main
from tlstap.cli.output import OutputArguments, open_output
from tlstap.cli.trace import trace
from tlstap.errors import TlstapError
from tlstap.records import Data, ExchangeEnded, Record
from tlstap.registry import Registry
from tlstap.sinks import jsonlines
from tlstap.sinks.base import OutputOptions, Sink, SinkType
from tlstap.sinks.builtin import tlstap_sinks
from tlstap.tracing.filters import Filters
from tlstap.tracing.options import Options

SINKS: dict[str, SinkType] = {sink.name: sink for sink in tlstap_sinks()}


def one() -> list[Record]:
    it = exchange(connection(), request=request(), response=response())
    return [ExchangeEnded(it, NOW, True)]


def entries(path: Path) -> list[dict[str, Any]]:
    return list(har.load(path.read_text())["entries"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError, SystemExit])
def test_an_error_ends_the_document(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    arguments = OutputArguments(format="har", file=str(path))
    with pytest.raises(error), open_output(arguments, SINKS) as emitter:
        emitter.write(one())
        raise error
    assert len(entries(path)) == 1


def test_an_error_before_anything_came(tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    with pytest.raises(RuntimeError), open_output(OutputArguments(format="har", file=str(path)), SINKS):
        raise RuntimeError
    assert entries(path) == []


class Failing(Sink):
    """Fails at the end."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        pass

    def write(self, record: Record, seq: int) -> None:
        pass

    def close(self) -> None:
        raise BrokenPipeError("the second error")


def test_the_first_error_is_told(tmp_path: Path) -> None:
    sinks = {"x": SinkType("x", "", Failing)}
    arguments = OutputArguments(format="x", file=str(tmp_path / "x"))
    with pytest.raises(RuntimeError, match="the first error"), open_output(arguments, sinks):
        raise RuntimeError("the first error")
    with pytest.raises(BrokenPipeError, match="the second error"), open_output(arguments, sinks):
        pass


def test_a_capture_as_har(capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    assert main(["replay", str(capture), "-f", "har", "-o", str(path)]) == 0
    [entry] = entries(path)
    assert entry["request"]["url"] == "https://example.com/index.html"
    assert entry["response"]["content"]["text"] == "hello\n"


def test_a_capture_that_is_cut_off(capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    lines = capture.read_bytes().splitlines(keepends=True)
    capture.write_bytes(b"".join(lines[:2]) + lines[2][:60])
    assert main(["replay", str(capture), "-f", "har", "-o", str(path)]) == 1
    [entry] = entries(path)
    assert entry["comment"] == "incomplete: response not seen"


def replaying(start: Start, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """A replay that got a request on one connection, then two exchanges on another, and waits for more."""
    process = start("replay", "-", "-f", "har", *arguments)
    assert process.stdin is not None
    other = connection(id=9)
    records: list[Record] = [
        Data(other, other.process, NOW, "write", 0, len(REQUEST), REQUEST, "SSL_write", 1),
        *exchanges(2)[:-1],
    ]
    process.stdin.write(rendered(jsonlines.SINK, records).encode())
    process.stdin.flush()
    return process


def test_ctrl_c_leaves_a_whole_document(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    process = replaying(start, "-o", path)
    wait_until(lambda: path.exists() and len(_so_far(path)) == 2, "two entries")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert [entry["_complete"] for entry in entries(path)] == [True, True, False]


def test_ctrl_c_leaves_a_whole_document_on_stdout(start: Start) -> None:
    process = replaying(start)
    assert process.stdout is not None
    read = b""
    while read.count(b'"startedDateTime"') < 2:
        piece = os.read(process.stdout.fileno(), 1 << 16)
        assert piece, "tlstap ended"
        read += piece
    process.send_signal(signal.SIGINT)
    text = (read + process.stdout.read()).decode()
    assert [entry["_complete"] for entry in har.load(text)["entries"]] == [True, True, False]


def test_who_is_killed_leaves_what_was_flushed(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    process = replaying(start, "-o", path)
    wait_until(lambda: path.exists() and len(_so_far(path)) == 2, "two entries")
    process.kill()
    process.wait(60)
    assert [entry["_complete"] for entry in entries(path)] == [True, True]


def _so_far(path: Path) -> list[Any]:
    text = path.read_text()
    return list(json.loads(text)["log"]["entries"]) if text else []


class BrokenSession:
    """In place of a session: a request is sent, then something goes wrong."""

    child = None

    def __init__(self, *arguments: object) -> None:
        pass

    def start(self) -> None:
        pass

    def __enter__(self) -> BrokenSession:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def now(self) -> int:
        return NOW + 1

    def stop(self) -> None:
        pass

    def records(self, *arguments: object, **named: object) -> Iterator[Record]:
        yield from exchanges()[:2]
        raise TlstapError("the ring broke")


def test_a_trace_that_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.har"
    monkeypatch.setattr("tlstap.tracing.session.Session", BrokenSession)
    monkeypatch.setattr("tlstap.cli.coverage.say_coverage", lambda session: None)
    arguments = OutputArguments(format="har", file=str(path))
    with pytest.raises(TlstapError, match="the ring broke"):
        trace(Registry.load(), Options(Filters()), arguments)
    [entry] = entries(path)
    assert (entry["request"]["method"], entry["comment"]) == ("GET", "incomplete: response not seen")
