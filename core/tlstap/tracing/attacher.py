"""From images to attached probes, at the start and while tracing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tlstap.discovery.report import FoundLibrary
from tlstap.discovery.scan import Image, Scanner
from tlstap.errors import TlstapError
from tlstap.library import Library
from tlstap.schema import LibraryInfo
from tlstap.tracing.engine import Engine, Site
from tlstap.tracing.machine import Machine, ProbedImage
from tlstap.tracing.plan import ProbePoint, ProbeTable, missing_directions, plan

RESCAN_SECONDS = 1.0
LOOK_AGAIN_SECONDS = (0.02, 0.1, 0.4)
"""After a program was executed: its loader maps the libraries a moment later."""


@dataclass(slots=True)
class Coverage:
    """What is traced, and what can't be and why (whole sentences)."""

    images: list[ProbedImage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Attacher:
    """Plans and attaches the probes of images.

    Images of a library that stands in for another wait until that other is found without its functions.

    :param libraries: those that are to be traced, by name.
    """

    def __init__(
        self, engine: Engine, table: ProbeTable, machine: Machine, libraries: Collection[Library]
    ) -> None:
        self.coverage = Coverage()
        self._engine = engine
        self._table = table
        self._machine = machine
        self._libraries = {library.name: library for library in libraries}
        self._stand_ins = {library.stands_in_for: library for library in libraries if library.stands_in_for}
        self._needed: set[str] = set()
        self._waiting: dict[str, list[tuple[Image, FoundLibrary]]] = {}

    def attach(self, images: Iterable[Image]) -> list[ProbedImage]:
        """Attach to the libraries in these images; what can't be done is added to the problems."""
        probed = []
        for image in images:
            self.coverage.problems += [f"{image.path}: {problem}" for problem in image.report.problems]
            for found in image.report.libraries:
                if library := self._libraries.get(found.name):
                    probed += self._attach_library(image, library, found)
        self.coverage.images += probed
        return probed

    def _attach_library(self, image: Image, library: Library, found: FoundLibrary) -> list[ProbedImage]:
        if library.stands_in_for and library.name not in self._needed:
            self._waiting.setdefault(library.name, []).append((image, found))
            return []
        points = plan(library, {function.name: function.probe_address for function in found.functions})
        probed = []
        if lacking := missing_directions(points):
            stand_in = self._stand_ins.get(library.name)
            self._say_lacking(image, library, found, lacking, stand_in)
            if stand_in is None:
                return []
            probed += self._attach_stand_in(stand_in)
        if one := self._attach_points(image, library, found, points):
            probed.append(one)
        return probed

    def _say_lacking(
        self,
        image: Image,
        library: Library,
        found: FoundLibrary,
        lacking: Collection[str],
        stand_in: Library | None,
    ) -> None:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in found.missing[:3])
        what = (
            f"{library.title} is there, but no function to {' or '.join(lacking)} with was found ({reasons})"
        )
        if stand_in is None:
            self._problem(image, f"{what}; see tlstap inspect")
        else:
            self._problem(image, f"{what}; falling back on {stand_in.title}")

    def _attach_stand_in(self, stand_in: Library) -> list[ProbedImage]:
        """Attach to the images of a stand-in that waited; those that are found later don't wait."""
        self._needed.add(stand_in.name)
        waiting = self._waiting.pop(stand_in.name, [])
        return [one for image, found in waiting for one in self._attach_library(image, stand_in, found)]

    def _attach_points(
        self, image: Image, library: Library, found: FoundLibrary, points: Sequence[ProbePoint]
    ) -> ProbedImage | None:
        if image.fd is None:
            return None
        info = LibraryInfo(
            name=library.stands_in_for or library.name,
            version=found.version,
            path=image.path,
            build_id=image.report.build_id,
        )
        try:
            sites = self._sites(found, points)
            functions = {self._table.index(point.probe): point.function for point in points}
            probed = ProbedImage(library, info, image, functions)
            self._engine.attach(image.fd, self._machine.add_image(probed), sites)
        except TlstapError as error:
            self._problem(image, str(error))
            return None
        return probed

    def _sites(self, found: FoundLibrary, points: Iterable[ProbePoint]) -> list[Site]:
        offsets = {function.name: function.probe_offset for function in found.functions}
        return [
            Site(self._table.index(point.probe), point.address, offsets[point.function], point.needs_return)
            for point in points
        ]

    def _problem(self, image: Image, what: str) -> None:
        self.coverage.problems.append(f"{image.path}: {what}")


class Watch(threading.Thread):
    """Finds and probes what appears while tracing, apart from the thread that reads the ring.

    It is told of programs that were executed (`look_at`), and looks through all processes every second;
    of those only the ones whose size changed are read.

    :param pids: the only processes to look at; None for all.
    :param tell: called with images that were newly probed, and with the problems that were met.
    """

    def __init__(
        self,
        scanner: Scanner,
        attacher: Attacher,
        pids: Callable[[], Collection[int] | None],
        tell: Callable[[list[ProbedImage], list[str]], None],
    ) -> None:
        super().__init__(name="tlstap-watch", daemon=True)
        self._scanner = scanner
        self._attacher = attacher
        self._pids = pids
        self._tell = tell
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
            again = time.monotonic() >= rescan
            if again:
                rescan = time.monotonic() + RESCAN_SECONDS
            try:
                self._attach(self._find(pids, again))
            except OSError as error:  # too many open files, for instance: the trace goes on
                self._tell([], [f"new processes can't be looked at: {error.strerror or error}"])

    def _find(self, pids: Collection[int], again: bool) -> list[Image]:
        """New images in these processes, and in all others if they are to be looked at again."""
        found = []
        for pid in pids:
            found += self._scanner.scan([pid])
        return found + self._scanner.scan(self._pids()) if again else found

    def _attach(self, images: list[Image]) -> None:
        if not images:
            return
        known = len(self._attacher.coverage.problems)
        probed = self._attacher.attach(images)
        self._tell(probed, self._attacher.coverage.problems[known:])

    def _take_due(self, until: float) -> set[int]:
        """Wait for processes that are to be looked at, at most until then."""
        with self._wanted:
            if not self._ending:
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
