"""A line on stderr about something that takes long."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tlstap.sinks.escape import escape

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY = 1.0
"""Seconds before the line appears."""


class ProgressLine:
    """What the user of `progress` holds: `update` tells how far it is, `describe` what it is doing now."""

    def __init__(self, message: str, total: float | None) -> None:
        self._message = message
        self._total = total
        self._done: float = 0
        self._lock = threading.Lock()
        self._shown: tuple[Progress, TaskID] | None = None
        self._timer = threading.Timer(DELAY, self._show)
        self._timer.daemon = True

    def update(self, done: float) -> None:
        """So much of the total is done."""
        self._done = done
        if self._shown is not None:
            progress, task = self._shown
            progress.update(task, completed=done)

    def describe(self, message: str) -> None:
        """Change the message."""
        self._message = message
        if self._shown is not None:
            progress, task = self._shown
            progress.update(task, description=message, total=self._total)

    def look_into(self, path: str, done: int, total: int) -> None:
        """A file is looked into: bytes that are done, bytes to do."""
        had_bar = self._total is not None
        self._total = total
        self._done = min(done, total)
        self.describe(looking_into(path))
        if self._shown is not None and not had_bar:
            self._take_away()
            self._show()
        else:
            self.update(self._done)

    def start(self) -> None:
        """Show the line after a second; for `progress`."""
        self._timer.start()

    def stop(self) -> None:
        """Take the line away; for `progress`."""
        self._timer.cancel()
        self._message = ""
        self._take_away()

    def _take_away(self) -> None:
        with self._lock:
            if self._shown is not None:
                self._shown[0].stop()
            self._shown = None

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        if self._total:
            columns += [BarColumn(), TaskProgressColumn()]
        with self._lock:
            if not self._message:
                return
            progress = Progress(*columns, console=Console(stderr=True), transient=True)
            task = progress.add_task(self._message, total=self._total, completed=int(self._done))
            self._shown = (progress, task)
            progress.start()
            # What was told between the task's making and now.
            progress.update(task, completed=self._done, description=self._message)


def looking_into(path: str) -> str:
    """The message while a file is looked into."""
    return f"Looking into {escape(path)}"


@contextmanager
def progress(message: str, total: float | None = None, *, enabled: bool = True) -> Iterator[ProgressLine]:
    """Show `message` on stderr while the block runs, if that takes more than a second.

    Nothing is shown unless stderr is a terminal, or if not `enabled`. With `total` a bar follows `update`.
    The message must be escaped if it quotes something that others named.
    """
    line = ProgressLine(message, total)
    if not enabled or sys.stderr is None or not sys.stderr.isatty():
        yield line
        return
    line.start()
    try:
        yield line
    finally:
        line.stop()
