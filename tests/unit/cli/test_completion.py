"""Completion, as the shells ask for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from tlstap.cli import main
from tlstap.cli.commands import COMMANDS, COMPLETE_VARIABLE, group

Complete = Callable[..., list[str]]


@pytest.fixture
def complete() -> Complete:
    def ask(*words: str) -> list[str]:
        *before, incomplete = words
        shell = ShellComplete(group, {}, "tlstap", COMPLETE_VARIABLE)
        return [item.value for item in shell.get_completions(list(before), incomplete)]

    return ask


def test_commands(complete: Complete) -> None:
    assert complete("") == list(COMMANDS)
    assert complete("re") == ["replay"]


def test_values(complete: Complete) -> None:
    assert complete("replay", "--color", "a") == ["auto", "always"]
    assert complete("replay", "--only", "h") == ["handshake", "http"]
    assert complete("replay", "--only", "http,o") == ["http,open"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]


def test_formats_of_plugins_too(complete: Complete) -> None:
    assert complete("replay", "-f", "") == ["text", "json", "hex", "har"]


def test_options_before_a_command_are_those_of_trace(
    complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    module = types.ModuleType("tlstap.cli.trace")
    module.command = click.Command(  # type: ignore[attr-defined]
        "trace",
        params=[click.Option(["--duration"]), click.Option(["--kind"], type=click.Choice(["x", "y"]))],
    )
    monkeypatch.setitem(sys.modules, "tlstap.cli.trace", module)
    assert complete("--") == ["--version", "--help", "--duration", "--kind"]
    assert complete("--kind", "") == ["x", "y"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_TLSTAP_COMPLETE={shell}_complete" in script
    assert "%(" not in script


def test_bash_runs_the_script(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    program = tmp_path / "tlstap"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tlstap "$@"\n')
    program.chmod(0o755)
    script = (
        f'PATH={tmp_path}:$PATH; eval "$(tlstap completion bash)"; COMP_WORDS=(tlstap comp); COMP_CWORD=1;'
        '_tlstap_completion tlstap; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("completion\n", "")
