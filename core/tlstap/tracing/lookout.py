"""Looks into large files while tracing goes on."""

from __future__ import annotations

import contextlib
import threading

from tlstap.discovery.large_files import LargeFile

PATIENCE_SECONDS = 0.2
"""For a file that is looked into when the trace ends."""


class Lookout:
    """Looks into large files in a thread of its own, one at a time, while tracing goes on.

    `file` is None when there is nothing to look into; `work` says how far it is: path, bytes that are done,
    bytes to do.
    """

    def __init__(self) -> None:
        self.file: LargeFile | None = None
        self.work: tuple[str, int, int] | None = None
        self._thread: threading.Thread | None = None
        self._ending = False

    def start(self, large: LargeFile) -> None:
        """Begin with a file; only when `ended` has given the last one."""
        self.file = large
        self._thread = threading.Thread(target=self._look, args=(large,), name="tlstap-lookout", daemon=True)
        self._thread.start()

    def _look(self, large: LargeFile) -> None:
        with contextlib.suppress(_EndedError):
            large.look(self._show)

    def _show(self, path: str, done: int, total: int) -> None:
        if self._ending:
            raise _EndedError
        self.work = path, done, total

    def ended(self) -> LargeFile | None:
        """The file that has been looked into, once."""
        large = self.file
        if large is None or self._thread is None or self._thread.is_alive():
            return None
        self.file = self.work = self._thread = None
        return large

    def end(self) -> None:
        """Leave off, soon: the trace is over."""
        self._ending = True
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)


class _EndedError(Exception):
    """Ends what is looked into."""
