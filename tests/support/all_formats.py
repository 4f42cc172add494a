"""A run of tlstap in all formats at once, and the same from a replay of its capture, byte for byte.

These are the formats that show messages. The one that writes them all is a plugin's, installed for these
runs alone.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from tests.support.tracer import TLSTAP, Tracer, run_tlstap
from tlstap.hookspecs import hookimpl
from tlstap.records import Record
from tlstap.sinks import builtin
from tlstap.sinks.base import OutputOptions, Sink, SinkType

NAME = "tests-all"
SINKS = {sink.name: sink for sink in builtin.tlstap_sinks()}
SUMMARY = "summary"
FORMATS = (*(name for name in SINKS if name != "hex"), SUMMARY)
"""All that show messages, and the summary, which is text with an option."""
CHECKOUT = Path(__file__).parents[2]


class AllFormats(Sink):
    """JSON lines to the stream, which is a file's, and each format to a file of that name and its own."""

    def __init__(self, stream: TextIO, options: OutputOptions) -> None:
        path = Path(f"/proc/self/fd/{stream.fileno()}").readlink()
        self._streams: list[TextIO] = []
        self._sinks: list[Sink] = []
        for name in FORMATS:
            if name == "json":
                own = stream
            else:
                own = in_format(path, name).open("w", encoding="utf-8", newline="\n")
                self._streams.append(own)
            sink_type = SINKS["text" if name == SUMMARY else name]
            self._sinks.append(sink_type.create(own, replace(options, summary=name == SUMMARY)))

    def write(self, record: Record, seq: int) -> None:
        for sink in self._sinks:
            sink.write(record, seq)

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
        for stream in self._streams:
            stream.close()


@hookimpl
def tlstap_sinks() -> tuple[SinkType]:
    """The format."""
    return (SinkType(NAME, "all formats, for tests", AllFormats),)


def in_format(capture: Path, name: str) -> Path:
    """Where a run with all formats has written one of them."""
    return capture if name == "json" else capture.with_name(f"{capture.name}.{name}")


@contextmanager
def run_in_all_formats(folder: Path, *arguments: str | int | Path) -> Iterator[Tracer]:
    """Run `tlstap trace ARGUMENTS` around the block; then the replay must give the same in all formats.

    :param folder: for the output, see `in_format`; it must be empty.
    """
    environment = _environment(folder / "plugin")
    capture, again = folder / "capture", folder / "replay"
    with run_tlstap(capture, *arguments, output_format=NAME, environment=environment) as tracer:
        yield tracer
    command = [TLSTAP, "replay", capture, "-f", NAME, "-o", again, *_body_options(arguments)]
    subprocess.run(command, check=True, env=environment, stderr=subprocess.PIPE, timeout=120)
    for name in FORMATS:
        check_same(in_format(capture, name), in_format(again, name))


def check_same(live: Path, replayed: Path) -> None:
    """Two outputs are the same, and not empty."""
    expected, found = live.read_bytes(), replayed.read_bytes()
    if expected != found:
        pairs = enumerate(zip(expected.splitlines(), found.splitlines(), strict=False), 1)
        different = next(((number, *pair) for number, pair in pairs if pair[0] != pair[1]), None)
        raise AssertionError(f"{live} and {replayed} differ: {different}, {len(expected)}, {len(found)}")


def _body_options(arguments: tuple[str | int | Path, ...]) -> list[str | Path]:
    """The options that the replay needs, too."""
    pairs = itertools.pairwise(arguments)
    return [part for name, value in pairs if name == "--protoset" for part in ("--protoset", str(value))]


def _environment(folder: Path) -> dict[str, str]:
    """One in which the plugin is installed."""
    installed = folder / "tlstap_tests-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tlstap-tests\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(f"[tlstap]\n{NAME} = {__name__}\n")
    before = os.environ.get("PYTHONPATH")
    folders = [str(folder), str(CHECKOUT), *([before] if before else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
