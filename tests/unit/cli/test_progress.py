"""The progress line."""

from __future__ import annotations

import io
import sys
import threading
import time

import pytest

from tlstap.cli import progress as module
from tlstap.cli.progress import progress


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
