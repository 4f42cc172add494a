"""The progress line."""

from __future__ import annotations

import io
import sys
import threading
import time
from typing import cast

import pytest

from tlstap.cli import progress as module
from tlstap.cli.looking import LookingInto
from tlstap.cli.progress import progress
from tlstap.tracing.session import Session


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def until_shown(stream: io.StringIO, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in stream.getvalue():
        assert time.monotonic() < deadline, f"{text!r} not in {stream.getvalue()!r}"
        threading.Event().wait(0.01)


def test_it_appears_on_a_terminal_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress("Reading [bold]x[/bold]", 100) as line:
        until_shown(stderr, "Reading [bold]x[/bold]")
        line.update(50)
        until_shown(stderr, "50%")
        line.describe("Nearly done")
        until_shown(stderr, "Nearly done")
    # The last things written take the line away and show the cursor again.
    assert stderr.getvalue().endswith("\x1b[2K") and "\x1b[?25h" in stderr.getvalue()


def test_what_is_quick_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress("Reading") as line:
        line.update(1)
    timer = line._timer
    timer.join(20)
    assert not timer.is_alive()
    line._show()
    assert stderr.getvalue() == ""


@pytest.mark.parametrize(("stream", "enabled"), [(io.StringIO(), True), (Terminal(), False), (None, True)])
def test_it_is_for_terminals_only(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None, enabled: bool
) -> None:
    monkeypatch.setattr(module, "DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("Reading", enabled=enabled) as line:
        line.update(1)
        assert not line._timer.is_alive()
    assert stream is None or stream.getvalue() == ""


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """stderr is one. (Not a fixture: between that and the test pytest sets stderr anew.)"""
    monkeypatch.setattr(module, "DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    return stderr


def test_a_file_that_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    with progress("Starting") as line:
        until_shown(terminal, "Starting")
    with progress("Starting") as line:
        line.look_into("/opt/a\x1b[2Jb", 25, 100)
        until_shown(terminal, "Looking into /opt/a\\x1b[2Jb")
        line.look_into("/opt/a\x1b[2Jb", 175, 100)
        until_shown(terminal, "100%")


class Looking:
    """What the bar asks of a session."""

    looked_into: tuple[str, int, int] | None = None


def test_the_bar_follows_what_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    session = Looking()
    with LookingInto(cast(Session, session), gives_way=True) as bar:
        bar.update()
        assert terminal.getvalue() == ""
        session.looked_into = "/opt/first", 50, 100
        bar.update()
        until_shown(terminal, "first")
        until_shown(terminal, "50%")
        session.looked_into = None
        bar.update()
        assert terminal.getvalue().endswith("\x1b[2K"), "it is gone"
        session.looked_into = "/opt/second", 10, 100
        bar.update()
        until_shown(terminal, "second")
    assert terminal.getvalue().endswith("\x1b[2K")


@pytest.mark.parametrize("gives_way", [True, False])
def test_the_bar_gives_way_to_what_was_captured(monkeypatch: pytest.MonkeyPatch, gives_way: bool) -> None:
    terminal = a_terminal(monkeypatch)
    session = Looking()
    session.looked_into = "/opt/first", 50, 100
    with LookingInto(cast(Session, session), gives_way) as bar:
        bar.update()
        until_shown(terminal, "first")
        bar.give_way()
        assert terminal.getvalue().endswith("\x1b[2K") == gives_way
        before = terminal.getvalue()
        session.looked_into = "/opt/other", 60, 100
        bar.update()
        if gives_way:
            assert terminal.getvalue() == before
        else:
            until_shown(terminal, "other")
