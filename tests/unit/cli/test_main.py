"""The command line's frame: the default command, help, errors, exit statuses."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import types
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from tlstap.cli import main
from tlstap.cli.commands import COMMANDS, group
from tlstap.errors import CaptureError, UsageError

Outcome = Callable[[], int | None]


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Puts a command in trace's place that notes what it is called with."""
    calls: list[tuple[tuple[int, ...], tuple[str, ...]]] = []

    @click.command("trace")
    @click.option("-p", "--pid", type=int, multiple=True)
    @click.argument("arguments", nargs=-1)
    def command(pid: tuple[int, ...], arguments: tuple[str, ...]) -> None:
        calls.append((pid, arguments))

    _replace(monkeypatch, "trace", command)
    return calls


def _replace(monkeypatch: pytest.MonkeyPatch, name: str, command: click.Command) -> None:
    module = types.ModuleType(f"tlstap.cli.{name}")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def _outcome(monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> int:
    """The exit status of a command that does this."""
    _replace(monkeypatch, "doctor", click.Command("doctor", callback=outcome))
    return main(["doctor"])


def test_what_begins_with_an_option_is_trace(trace: list[object]) -> None:
    for arguments in ([], ["-p", "12", "--", "curl", "-p", "x"], ["--", "libs"], ["trace", "--pid", "1"]):
        assert main(arguments) == 0
    assert trace == [((), ()), ((12,), ("curl", "-p", "x")), ((), ("libs",)), ((1,), ())]


def test_an_unknown_command_lists_the_known_ones(
    capsys: pytest.CaptureFixture[str], trace: list[object]
) -> None:
    assert main(["curl", "https://example.com"]) == 2
    out, error = capsys.readouterr()
    assert (out, trace) == ("", [])
    assert error == (
        f"tlstap: no command 'curl'; there are {', '.join(COMMANDS)}. To run a program: tlstap -- curl\n"
        "tlstap: try 'tlstap --help'\n"
    )


def test_an_unknown_option_names_the_command_and_the_likely_one(
    capsys: pytest.CaptureFixture[str], trace: list[object]
) -> None:
    assert main(["--pidd", "3"]) == 2
    error = capsys.readouterr().err
    assert "--pidd" in error and "'--pid'" in error
    assert error.endswith("\ntlstap: try 'tlstap trace --help'\n")
    assert len(error.splitlines()) == 2


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_begins_with_examples_and_names_every_command(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([option]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Examples:"
    assert lines.index("Usage: tlstap [trace] [OPTIONS] [-- COMMAND [ARG ...]]") > 1
    for name, text in COMMANDS.items():
        assert f"  {name:<10}  {text}" in lines
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_that_begins_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Examples:\n  ")
    assert f"\nUsage: tlstap {name}" in out


def test_help_needs_nothing_heavy() -> None:
    script = (
        "import sys; from tlstap.cli import main; status = main(['--help']);"
        "heavy = {'bcc', 'pydantic', 'rich', 'capstone', 'elftools'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tlstap {importlib.metadata.version('tlstap')}\n"


def test_errors_are_one_line_and_have_their_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def capture_error() -> None:
        raise CaptureError("file \x1b[31m.json\nis bad")

    def usage_error() -> None:
        raise UsageError("nonsense")

    def system_error() -> None:
        raise PermissionError(13, "Permission denied", "/etc/shadow")

    def full_disk() -> None:
        raise OSError(28, "No space left on device")

    assert _outcome(monkeypatch, capture_error) == 1
    assert capsys.readouterr() == ("", "tlstap: file \\x1b[31m.json\\nis bad\n")
    assert _outcome(monkeypatch, usage_error) == 2
    assert capsys.readouterr() == ("", "tlstap: nonsense\n")
    assert _outcome(monkeypatch, system_error) == 1
    assert capsys.readouterr() == ("", "tlstap: /etc/shadow: Permission denied\n")
    assert _outcome(monkeypatch, full_disk) == 1
    assert capsys.readouterr() == ("", "tlstap: No space left on device\n")


def test_a_mistake_of_tlstap_shows_no_traceback_unless_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mistake() -> None:
        raise KeyError("oops")

    monkeypatch.delenv("TLSTAP_DEBUG", raising=False)
    assert _outcome(monkeypatch, mistake) == 1
    quiet = capsys.readouterr().err
    assert quiet == (
        "tlstap: internal error: KeyError: 'oops'; please report it with the output of TLSTAP_DEBUG=1\n"
    )
    monkeypatch.setenv("TLSTAP_DEBUG", "1")
    assert _outcome(monkeypatch, mistake) == 1
    loud = capsys.readouterr().err
    assert loud.startswith("Traceback (most recent call last):\n") and loud.endswith(quiet)


def test_statuses_of_commands_interruptions_and_broken_pipes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    def broken() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    assert _outcome(monkeypatch, lambda: 7) == 7
    assert _outcome(monkeypatch, lambda: None) == 0
    assert _outcome(monkeypatch, interrupted) == 130
    assert _outcome(monkeypatch, broken) == 0
    assert capsys.readouterr() == ("", "")


def test_a_closed_stderr_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Closed())
    assert main(["nonsense"]) == 2
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["nonsense"]) == 2


def test_the_group_works_with_clicks_own_tools() -> None:
    result = CliRunner().invoke(group, ["schema"])
    assert result.exit_code == 0
    assert result.stdout.startswith("{\n")
