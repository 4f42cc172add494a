"""Third parties' decoders, body formats and output formats that fail: one line, and the rest is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.samples import rendered
from tests.support.site import Site
from tests.unit.cli.conftest import RESPONSE, exchanges

from tlstap.cli import main
from tlstap.sinks import jsonlines

DECODER = """
import tlstap

class Bad(tlstap.Protocol):
    name = "bad"

    def recognise(self, channel, direction, start):
        return True

    def decoder(self, channel, memory):
        {decoder}

class Decoding(tlstap.Decoder):
    def __init__(self, channel):
        self.channel = channel

    def feed(self, data):
        def message(**changes):
            fields = dict(
                connection=self.channel.connection, process=data.process, time_ns=data.time_ns,
                direction=data.direction, protocol="bad", type="any", payload=b"x", size=1,
            )
            return tlstap.ProtocolMessage(**(fields | changes))
        {feed}

    def finish(self, time_ns, *, closed):
        {finish}

@tlstap.hookimpl
def tlstap_protocols():
    return [Bad()]
"""

PLAIN = {"decoder": "return Decoding(channel)", "feed": "return [message()]", "finish": "return []"}


def replayed(capture: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    """Kinds of the events, and the lines on stderr."""
    assert main(["replay", str(capture), "--no-plugin", "protocols", "-f", "json"]) == 0
    out, error = capsys.readouterr()
    return [json.loads(line)["kind"] for line in out.splitlines()], error.splitlines()


def test_a_decoder_that_is_right(site: Site, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.install("bad", DECODER.format(**PLAIN))
    kinds, said = replayed(capture, capsys)
    assert (kinds, said) == (["open", "data", "message", "data", "message", "close"], [])


@pytest.mark.parametrize(
    ("where", "body", "reason"),
    [
        ("decoder", "raise ValueError('no\\nluck')", "ValueError: no luck"),
        ("decoder", "raise SystemExit(3)", "SystemExit: 3"),
        ("decoder", "return 'one'", "TypeError: decoder() returned 'one', which is no Decoder"),
        ("feed", "return None", "TypeError: 'NoneType' object is not iterable"),
        ("feed", "return self.feed(data)", "RecursionError: maximum recursion depth exceeded"),
        ("feed", "raise SystemExit(3)", "SystemExit: 3"),
        ("feed", "yield None", "TypeError: gave out None, which is no record"),
        ("feed", "yield b'bytes'", "TypeError: gave out b'bytes', which is no record"),
        (
            "feed",
            "yield message(payload='text')",
            "TypeError: gave out ProtocolMessage.payload 'text', which must be bytes",
        ),
        (
            "feed",
            "yield message(size=None)",
            "TypeError: gave out ProtocolMessage.size None, which must be int",
        ),
        ("feed", "yield message(direction='up')", "TypeError: gave out the direction 'up'"),
        ("feed", "yield message(missing=['it'])", "TypeError: gave out 'it' among what is missing"),
        (
            "feed",
            "yield message(details={'a': object()})",
            "TypeError: gave out ProtocolMessage that can't become an event: ",
        ),
        (
            "feed",
            "yield tlstap.Undecoded(self.channel.connection, data.process, 0, 'read', None, b'')",
            "TypeError: gave out Undecoded.offset None, which must be int",
        ),
    ],
)
def test_a_decoder_that_fails(
    site: Site, capture: Path, capsys: pytest.CaptureFixture[str], where: str, body: str, reason: str
) -> None:
    site.install("bad", DECODER.format(**PLAIN | {where: body}))
    kinds, said = replayed(capture, capsys)
    assert kinds == ["open", "data", "data", "close"]
    (line,) = said
    assert line.startswith(f"tlstap: plugin bad of dist-bad: the decoder for 'bad' failed ({reason}")
    assert line.endswith("shown undecoded; leave its plugin out with --no-plugin, or tell its authors")


def test_a_decoder_that_fails_at_the_end(
    site: Site, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("bad", DECODER.format(**PLAIN | {"finish": "raise KeyError(closed)"}))
    kinds, said = replayed(capture, capsys)
    assert kinds == ["open", "data", "message", "data", "message", "close"]
    (line,) = said
    assert line.startswith("tlstap: plugin bad of dist-bad: the decoder for 'bad' failed (KeyError: True); ")


FORMAT = """
import tlstap

class Bad(tlstap.BodyFormat):
    name = "bad"

    def reader(self, exchange, message, memory):
        {reader}

class Reader(tlstap.BodyReader):
    def feed(self, piece):
        {feed}

    def gap(self, size):
        return []

    def finish(self, *, unfinished):
        {finish}

@tlstap.hookimpl
def tlstap_body_formats(options):
    return [Bad()]
"""
PLAIN_FORMAT = {
    "reader": "return Reader() if message.status else None",
    "feed": "return [tlstap.Part('line', piece, len(piece))]",
    "finish": "return []",
}


@pytest.mark.parametrize(
    ("where", "body", "reason"),
    [
        ("reader", "raise ValueError('no luck')", "ValueError: no luck"),
        ("reader", "return 7", "TypeError: reader() returned 7, which is no BodyReader"),
        ("feed", "raise SystemExit(1)", "SystemExit: 1"),
        ("feed", "yield None", "TypeError: gave out None, which is no Part"),
        (
            "feed",
            "yield tlstap.Part('line', 'text', 4)",
            "TypeError: gave out Part.payload 'text', which",
        ),
        ("feed", "yield tlstap.Part(None, b'', 0)", "TypeError: gave out Part.type None, which must be str"),
        (
            "feed",
            "yield tlstap.Part('line', b'', 0, {1: object()})",
            "TypeError: gave out Part.details that are not JSON: ",
        ),
        ("finish", "return 3", "TypeError: 'int' object is not iterable"),
    ],
)
def test_a_body_format_that_fails(
    site: Site, capture: Path, capsys: pytest.CaptureFixture[str], where: str, body: str, reason: str
) -> None:
    """The exchange is shown as if there was no such format."""
    site.install("bad", FORMAT.format(**PLAIN_FORMAT | {where: body}))
    assert main(["replay", str(capture), "-f", "json", "--only", "http"]) == 0
    out, error = capsys.readouterr()
    (event,) = map(json.loads, out.splitlines())
    assert event["response"]["body"] == RESPONSE.partition(b"\r\n\r\n")[2].decode()
    (line,) = error.splitlines()
    assert line.startswith(f"tlstap: plugin bad of dist-bad: the decoder for 'bad' failed ({reason}")


SINK = """
import tlstap

class Bad(tlstap.Sink):
    def __init__(self, stream, options):
        self.stream, self.count = stream, 0

    def write(self, record, seq):
        self.count += 1
        self.stream.write(f"{{self.count}}\\n")
        {write}

    def close(self):
        self.stream.write("end\\n")
        {close}

@tlstap.hookimpl
def tlstap_sinks():
    return [tlstap.SinkType("bad", "help", {create})]
"""
PLAIN_SINK = {"write": "", "close": "", "create": "Bad"}


@pytest.mark.parametrize(
    ("where", "body", "shown", "reason"),
    [
        (
            "write",
            "if self.count == 2: raise ValueError('no\\nluck')",
            "1\n2\n",
            "write() raised ValueError: no luck",
        ),
        ("write", "if self.count == 2: raise SystemExit(9)", "1\n2\n", "write() raised SystemExit: 9"),
        ("close", "raise LookupError('lost')", "1\n2\nend\n", "close() raised LookupError: lost"),
        (
            "create",
            "lambda stream, options: None",
            "",
            "create() raised TypeError: it returned None, which is no Sink",
        ),
        ("create", "lambda: 7", "", "create() raised TypeError: "),
    ],
)
@pytest.mark.parametrize("to_file", [True, False])
def test_an_output_format_that_fails_ends_the_run(
    site: Site,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
    body: str,
    shown: str,
    reason: str,
    to_file: bool,
) -> None:
    """What it wrote stays."""
    capture, file = tmp_path / "capture", tmp_path / "out"
    opened, *_, closed = exchanges()
    capture.write_text(rendered(jsonlines.SINK, [opened, closed]))
    site.install("bad", SINK.format(**PLAIN_SINK | {where: body}))
    where_to = ["-o", str(file)] if to_file else []
    assert main(["replay", str(capture), "-f", "bad", *where_to]) == 1
    out, error = capsys.readouterr()
    assert (file.read_text() if to_file else out) == shown
    (line,) = error.splitlines()
    assert line.startswith(f"tlstap: plugin bad of dist-bad: its output format failed: {reason}")


def test_a_full_disk_is_not_the_formats_fault(
    site: Site, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "import errno; raise OSError(errno.ENOSPC, 'No space left on device', 'there')"
    site.install("bad", SINK.format(**PLAIN_SINK | {"write": body}))
    assert main(["replay", str(capture), "-f", "bad"]) == 1
    assert capsys.readouterr().err == "tlstap: there: No space left on device\n"


def test_an_output_format_that_is_not_chosen_does_not_matter(
    site: Site, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("bad", SINK.format(**PLAIN_SINK | {"write": "raise ValueError"}))
    assert main(["replay", str(capture), "--only", "http"]) == 0
    assert capsys.readouterr().err == ""
