"""Files that take long to look into: put off, and with a measure of how far one is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tlstap.discovery.cache import Entry
from tlstap.discovery.files import FileIdentity, digest
from tlstap.discovery.recognise import OpenBeside
from tlstap.errors import ElfError

LARGE = 32 << 20
"""Bytes of a file that is looked into later, when it is not known yet."""
PASSES = 3
"""How often a locator looks through the code of a file without symbols, about."""

ShowWork = Callable[[str, int, int], None]
"""Told of a file's path, how many bytes of work are done, and how many there are, about."""


class Work:
    """Adds up the bytes of a file that have been looked through.

    :param path: for messages.
    :param size: of the file.
    """

    def __init__(self, path: str, size: int, show: ShowWork) -> None:
        self.path = path
        self.done = 0
        self.total = PASSES * size
        self._show = show
        show(path, 0, self.total)

    def __call__(self, size: int) -> None:
        self.done = min(self.total, self.done + size)
        self._show(self.path, self.done, self.total)


@dataclass(eq=False, slots=True)
class LargeFile:
    """A file that was put off because looking into it takes long. `examine` may be called in any thread,
    once; then the scanner takes it in."""

    identity: FileIdentity
    path: str
    fd: int
    open_beside: OpenBeside
    examine: Callable[[LargeFile, Callable[[int], None]], None]
    pids: set[int] = field(default_factory=set)
    entry: Entry | None = None
    problem: ElfError | None = None
    busy: bool = False
    """It is being looked into: its descriptor must stay."""

    def look(self, show: ShowWork = lambda path, done, total: None) -> None:
        """Look into it."""
        self.busy = True
        try:
            self.examine(self, Work(self.path, self.identity.size, show))
        finally:
            self.busy = False


class Digesting(threading.Thread):
    """Digests a file's content while that is looked into: it takes a third of the time."""

    def __init__(self, fd: int) -> None:
        super().__init__(name="tlstap-digest", daemon=True)
        self._fd = fd
        self._content: str | None = None
        self.start()

    def run(self) -> None:
        """The thread."""
        with contextlib.suppress(OSError):  # the file may be given up meanwhile
            self._content = digest(self._fd)

    def result(self) -> str:
        """The digest; waits for it."""
        self.join()
        return digest(self._fd) if self._content is None else self._content
