"""The output options."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import pytest
from tests.support.samples import NOW, connection, request, response, whole

from tlstap.cli.output import OutputArguments, open_output, options_for
from tlstap.cli.values import byte_limit, kinds
from tlstap.errors import UsageError
from tlstap.records import Opened
from tlstap.sinks.base import OutputOptions, SinkType
from tlstap.sinks.builtin import tlstap_sinks

SINKS: dict[str, SinkType] = {sink.name: sink for sink in tlstap_sinks()}
CONTEXT = click.Context(click.Command("x"))
PARAMETER = click.Option(["--x"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64K", 65536),
        ("64k", 65536),
        ("1M", 1 << 20),
        ("2GiB", 2 << 30),
        ("3KB", 3072),
        ("all", "all"),
    ],
)
def test_sizes(given: str, meant: int | str) -> None:
    assert byte_limit(CONTEXT, PARAMETER, given) == meant


@pytest.mark.parametrize("given", ["", "-1", "1.5M", "K", "12T", "ALL", "٣", "9" * 16])
def test_what_is_no_size(given: str) -> None:
    with pytest.raises(click.BadParameter, match="is no size; expected a number of bytes"):
        byte_limit(CONTEXT, PARAMETER, given)


def test_kinds() -> None:
    assert kinds(CONTEXT, PARAMETER, "http, data") == {"http", "data"}
    assert kinds(CONTEXT, PARAMETER, None) is None
    with pytest.raises(click.BadParameter, match="no kind 'htpp'; there are open, handshake, data, http, "):
        kinds(CONTEXT, PARAMETER, "htpp")


def test_limits() -> None:
    stream = io.StringIO()
    default = options_for(OutputArguments(), stream)
    assert (default.max_body, default.max_binary) == (4096, 128)
    chosen = options_for(OutputArguments(max_body=10_000), stream)
    assert (chosen.max_body, chosen.max_binary) == (10_000, 10_000)
    everything = options_for(OutputArguments(max_body="all"), stream)
    assert (everything.max_body, everything.max_binary) == (None, None)


def test_a_terminal_has_colour_and_width_and_a_pipe_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "93")
    on_terminal = options_for(OutputArguments(), Terminal())
    assert (on_terminal.color, on_terminal.width) == (True, 93)
    piped = options_for(OutputArguments(), io.StringIO())
    assert (piped.color, piped.width) == (False, None)


@pytest.mark.parametrize(
    ("variable", "value", "color", "meant"),
    [
        ("NO_COLOR", "1", "auto", False),
        ("NO_COLOR", "", "auto", True),
        ("NO_COLOR", "1", "always", True),
        ("TERM", "dumb", "auto", False),
        ("TERM", "xterm", "never", False),
    ],
)
def test_who_wants_no_colour_gets_none(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, color: str, meant: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    assert options_for(OutputArguments(color=color), Terminal()).color is meant


def test_an_unknown_format_lists_the_known_ones() -> None:
    with (
        pytest.raises(UsageError, match=r"^no format 'yaml'; there are text, json, hex, har$"),
        open_output(OutputArguments(format="yaml"), SINKS),
    ):
        raise AssertionError("was opened")


def test_a_format_that_never_shows_what_is_asked_for_is_refused(tmp_path: Path) -> None:
    arguments = OutputArguments(format="hex", file=str(tmp_path / "x"), only=frozenset({"http"}))
    with (
        pytest.raises(UsageError, match=r"^-f hex shows only data, lost; nothing of --only http$"),
        open_output(arguments, SINKS),
    ):
        raise AssertionError("was opened")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["json", "hex"])
def test_a_format_without_a_summary_is_refused(name: str) -> None:
    with (
        pytest.raises(UsageError, match=f"^-f {name} has no summary; leave out --summary or -f {name}$"),
        open_output(OutputArguments(format=name, summary=True), SINKS),
    ):
        raise AssertionError("was opened")


def test_a_summary_shows_less_than_the_format() -> None:
    arguments = OutputArguments(summary=True, only=frozenset({"open", "data"}))
    shown = "handshake, http, lost, message"
    with (
        pytest.raises(
            UsageError, match=f"^-f text --summary shows only {shown}; nothing of --only data,open$"
        ),
        open_output(arguments, SINKS),
    ):
        raise AssertionError("was opened")


def test_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    of = connection()
    with open_output(OutputArguments(summary=True), SINKS) as emitter:
        emitter.write([Opened(of, of.process, NOW, True), *whole(of, request(), response())])
    assert emitter.wants_messages
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert shown.endswith(
        " → GET  https://example.com/index.html           200 text/plain           6 B 21.0 ms\n"
    )
    with open_output(OutputArguments(summary=True, only=frozenset({"lost"})), SINKS) as emitter:
        assert not emitter.wants_messages


def test_a_file_is_written_whole_and_closed(tmp_path: Path) -> None:
    of = connection()
    path = tmp_path / "out"
    with open_output(OutputArguments(format="json", file=str(path)), SINKS) as emitter:
        emitter.write([Opened(of, of.process, NOW, True)])
        assert path.read_text() == ""
        emitter.flush()
        assert path.read_text().count("\n") == 1
    assert emitter.events == 1


@pytest.mark.parametrize("file", [None, "-"])
def test_without_a_file_it_is_stdout(file: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    of = connection()
    with open_output(OutputArguments(format="json", file=file), SINKS) as emitter:
        emitter.write([Opened(of, of.process, NOW, True)])
    assert '"kind":"open"' in capsys.readouterr().out
    assert not sys.stdout.closed


def test_defaults_agree() -> None:
    assert options_for(OutputArguments(), io.StringIO()) == OutputOptions()
