"""Finds and probes what appears while tracing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection

from tlstap.discovery.scan import Image, Scanner
from tlstap.tracing.attacher import Attacher
from tlstap.tracing.lookout import Lookout
from tlstap.tracing.machine import ProbedImage

RESCAN_SECONDS = 1.0
LOOKOUT_SECONDS = 0.05
"""While a large file is looked into, this often it is asked for."""
LOOK_AGAIN_SECONDS = (0.02, 0.1, 0.4)
"""After a program was executed: its loader maps the libraries a moment later."""


class Watch(threading.Thread):
    """Finds and probes what appears while tracing, apart from the thread that reads the ring.

    It is told of programs that were executed (`look_at`), and looks through all processes every second;
    of those only the ones whose size changed are read.

    :param pids: the only processes to look at; None for all.
    :param tell: called with images that were newly probed, with the problems that were met, and with whether
        the file had to be looked into first, while processes ran it.
    """

    def __init__(
        self,
        scanner: Scanner,
        attacher: Attacher,
        pids: Callable[[], Collection[int] | None],
        tell: Callable[[list[ProbedImage], list[str], bool], None],
    ) -> None:
        super().__init__(name="tlstap-watch", daemon=True)
        self._scanner = scanner
        self._attacher = attacher
        self._pids = pids
        self._tell = tell
        self.lookout = Lookout()
        self._due: deque[tuple[float, int]] = deque()
        self._wanted = threading.Condition()
        self._ending = False

    def look_at(self, pid: int) -> None:
        """This process has executed a program."""
        now = time.monotonic()
        with self._wanted:
            self._due.extend((now + delay, pid) for delay in LOOK_AGAIN_SECONDS)
            self._wanted.notify()

    def run(self) -> None:
        """The thread."""
        rescan = time.monotonic() + RESCAN_SECONDS
        while not self._ending:
            pids = self._take_due(rescan)
            self._look_into_large_files()
            again = time.monotonic() >= rescan
            if again:
                rescan = time.monotonic() + RESCAN_SECONDS
            try:
                self._attach(self._find(pids, again))
            except OSError as error:  # too many open files, for instance: the trace goes on
                problem = f"new processes can't be looked at: {error.strerror or error}"
                self._tell([], [problem], False)

    def _find(self, pids: Collection[int], again: bool) -> list[Image]:
        """New images in these processes, and in all others if they are to be looked at again."""
        found = []
        for pid in pids:
            found += self._scanner.scan([pid])
        return found + self._scanner.scan(self._pids()) if again else found

    def _look_into_large_files(self) -> None:
        if (large := self.lookout.ended()) is not None:
            self._attach(self._scanner.take_in(large), late=True)
            self._scanner.save()
        if self.lookout.file is None and self._scanner.large:
            self.lookout.start(self._scanner.large[0])

    def _attach(self, images: list[Image], *, late: bool = False) -> None:
        if not images:
            return
        known = len(self._attacher.coverage.problems)
        probed = self._attacher.attach(images)
        self._tell(probed, self._attacher.coverage.problems[known:], late)

    def _take_due(self, until: float) -> set[int]:
        """Wait for processes that are to be looked at, at most until then."""
        with self._wanted:
            if not self._ending:
                if self.lookout.file is not None:
                    until = min(until, time.monotonic() + LOOKOUT_SECONDS)
                next_due = min((moment for moment, _ in self._due), default=until)
                self._wanted.wait(max(0.0, min(next_due, until) - time.monotonic()))
            now = time.monotonic()
            due = {pid for moment, pid in self._due if moment <= now}
            self._due = deque(entry for entry in self._due if entry[0] > now)
        wanted = self._pids()
        return due if wanted is None else due & set(wanted)

    def end(self) -> None:
        """Stop the thread and wait for it."""
        with self._wanted:
            self._ending = True
            self._wanted.notify()
        self.join()
        self.lookout.end()
