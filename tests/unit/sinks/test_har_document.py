"""A HAR document while it grows, in a file and elsewhere, and as haralyzer reads it."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import haralyzer
import pytest
from tests.support import har
from tests.support.samples import MS, NOW, connection, exchange, rendered, request, response

from tlstap.records import Exchange, ExchangeEnded
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.har.document import Document
from tlstap.sinks.har.sink import SINK


def numbered(number: int) -> Exchange:
    return exchange(connection(id=number), request=request(target=f"/{number}"), response=response())


def urls(text: str) -> list[str]:
    return [entry["request"]["url"] for entry in har.load(text)["entries"]]


def expected(count: int) -> list[str]:
    return [f"https://example.com/{number}" for number in range(count)]


def test_no_entries_and_no_pages() -> None:
    text = rendered(SINK, [])
    log = har.load(text)
    assert log["entries"] == []
    assert log["creator"]["name"] == "tlstap"
    assert log.keys() == {"version", "creator", "entries"}
    assert text.endswith("\n]}}\n")


def test_an_entry_is_a_line() -> None:
    text = rendered(SINK, [ExchangeEnded(numbered(number), NOW, True) for number in range(3)])
    first, *lines, last = text.splitlines()
    assert first.endswith(',"entries":[')
    assert [json.loads(line.rstrip(","))["request"]["url"] for line in lines] == expected(3)
    assert last == "]}}"


def test_a_file_is_whole_after_each_flush(tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        sink = SINK.create(stream, OutputOptions())
        stream.flush()
        assert urls(path.read_text()) == []
        for number in range(5):
            sink.write(ExchangeEnded(numbered(number), NOW, True), number)
            stream.flush()
            assert urls(path.read_text()) == expected(number + 1)
        sink.close()
    assert urls(path.read_text()) == expected(5)


def test_file_and_pipe_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    body = bytearray("grüß \U0001f600 \0".encode())
    it = exchange(connection(), request=request(target="/é"), response=response(body=body))
    records = [ExchangeEnded(it, NOW, True)] * 3
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        sink = SINK.create(stream, OutputOptions())
        for number, record in enumerate(records):
            sink.write(record, number)
        sink.close()
    assert path.read_text() == rendered(SINK, records)


def test_what_is_in_the_file_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("w", encoding="utf-8") as stream:
        stream.write("é\n")
        document = Document(stream)
        document.add('{"a":1}')
        document.close("über")
    before, _, rest = path.read_text().partition("\n")
    assert before == "é"
    assert json.loads(rest)["log"]["entries"] == [{"a": 1}]
    assert json.loads(rest)["log"]["comment"] == "über"


def test_stdout_is_not_rewound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    with path.open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        document = Document(stream)
        document.add('{"a":1}')
        stream.write("\n")
        document.close(None)
    assert json.loads(path.read_text())["log"]["entries"] == [{"a": 1}]


def test_a_device_is_not_rewound() -> None:
    with open(os.devnull, "w", encoding="utf-8") as stream:
        document = Document(stream)
        document.add("{}")
        document.close(None)
        assert stream.tell() == 0


class Interrupting(io.StringIO):
    """Raises KeyboardInterrupt after the n-th write."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def write(self, text: str) -> int:
        size = super().write(text)
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt
        return size


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupt_leaves_what_can_be_closed(after: int) -> None:
    stream = Interrupting(after)
    document = Document(stream)
    with pytest.raises(KeyboardInterrupt):
        for number in range(5):
            document.add(f'{{"n":{number}}}')
    document.close(None)
    assert json.loads(stream.getvalue())["log"]["entries"] == [{"n": number} for number in range(after)]


def test_an_interrupt_while_a_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    with path.open("w", encoding="utf-8") as stream:
        document = Document(stream)
        document.add('{"n":0}')
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(document, "_stream", _InterruptedFile(stream))
            document.add('{"n":1}')
        document.close(None)
    assert json.loads(path.read_text())["log"]["entries"] == [{"n": 0}]


class _InterruptedFile:
    """A file that is interrupted when a write is done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def seek(self, at: int) -> int:
        return self._stream.seek(at)

    def write(self, text: str) -> int:
        self._stream.write(text)
        raise KeyboardInterrupt


# Another reader


def test_haralyzer_reads_it() -> None:
    of = connection()
    page = exchange(of, request=request(target="/a?b=1"), response=response(body_wire_bytes=6))
    late = exchange(
        of,
        request=request(method="POST", body=bytearray(b"x"), start_ns=NOW + MS, end_ns=NOW + MS),
        response=response(status=404, reason="Not Found", headers=[("Content-Type", "image/png")]),
    )
    alone = exchange(of, request=request(start_ns=NOW + 2 * MS), protocol="HTTP/2", stream_id=1)
    text = rendered(SINK, [ExchangeEnded(it, NOW + 30 * MS, True) for it in (page, late, alone)])
    parser = haralyzer.HarParser(json.loads(text))
    [read] = parser.pages
    assert read.page_id == "unknown"
    assert parser.creator["name"] == "tlstap"
    found = [_as_haralyzer_has_it(entry) for entry in read.entries]
    assert found == [
        ("GET", "https://example.com/a?b=1", 200, 21, "HTTP/1.1", 443, "192.0.2.7", "00:00:00.123000"),
        ("POST", "https://example.com/index.html", 404, 20, "HTTP/1.1", 443, "192.0.2.7", "00:00:00.124000"),
        ("GET", "https://example.com/index.html", 0, 0, "http/2.0", 443, "192.0.2.7", "00:00:00.125000"),
    ]
    assert read.entries[0].response.text == "hello\n"
    assert [entry.status for entry in read.filter_entries(request_type="POST", status_code="4.*")] == [404]
    assert [entry.status for entry in read.image_files] == [404]


def _as_haralyzer_has_it(entry: Any) -> tuple[object, ...]:
    return (
        entry.request.method,
        entry.request.url,
        entry.status,
        entry.time,
        entry.request.httpVersion,
        entry.port,
        entry.serverAddress,
        entry.startTime.time().isoformat(),
    )
