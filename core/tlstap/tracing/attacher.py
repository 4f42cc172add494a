"""From images to attached probes, at the start and while tracing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tlstap.discovery.given import OPTION
from tlstap.discovery.report import FoundLibrary
from tlstap.discovery.scan import Image, LargeFile, Scanner
from tlstap.errors import TlstapError
from tlstap.library import DataProbe, Library
from tlstap.schema import LibraryInfo
from tlstap.tracing.engine import Engine, Site
from tlstap.tracing.layout import DIRECTIONS
from tlstap.tracing.machine import Machine, ProbedImage
from tlstap.tracing.plan import ProbePoint, ProbeTable, missing_directions, plan
from tlstap.tracing.trial import Trial, Trials

RESCAN_SECONDS = 1.0
PATIENCE_SECONDS = 0.2
"""For a file that is looked into when the trace ends."""
LOOKOUT_SECONDS = 0.05
"""While a large file is looked into, this often it is asked for."""
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
        self,
        engine: Engine,
        table: ProbeTable,
        machine: Machine,
        libraries: Collection[Library],
        trials: Trials,
    ) -> None:
        self.coverage = Coverage()
        self._trials = trials
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
            self._problem(image, f"{what}; tlstap inspect says more, {OPTION} gives an address by hand")
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
        sites = self._sites(found, points)
        if any(site.on_trial for site in sites) and not self._engine.counts_traffic:
            self._problem(
                image,
                f"{library.title} is there, but its functions were found by what they look like, and nothing "
                "can prove them right on this kernel (that takes BTF, and Linux 6.3 or kprobes)",
            )
            return None
        try:
            functions = {self._table.index(point.probe): point.function for point in points}
            probed = ProbedImage(library, info, image, functions)
            number = self._machine.add_image(probed)
            self._put_on_trial(probed, number, sites, points)
            self._engine.attach(image.fd, number, sites)
        except TlstapError as error:
            self._problem(image, str(error))
            return None
        return probed

    def _sites(self, found: FoundLibrary, points: Iterable[ProbePoint]) -> list[Site]:
        functions = {function.name: function for function in found.functions}
        return [
            Site(
                self._table.index(point.probe),
                point.address,
                functions[point.function].probe_offset,
                point.needs_return,
                functions[point.function].on_trial,
                functions[point.function].return_addresses,
            )
            for point in points
        ]

    def _put_on_trial(
        self, probed: ProbedImage, number: int, sites: Sequence[Site], points: Sequence[ProbePoint]
    ) -> None:
        """Functions that move data and were found by signature are shown when they have proven themselves."""
        trials = {
            site.probe: Trial(point.function, DIRECTIONS.index(point.probe.direction))
            for site, point in zip(sites, points, strict=True)
            if site.on_trial and isinstance(point.probe, DataProbe)
        }
        if trials:
            key = number if self._engine.numbers_images else 0
            self._trials.add(key, number, f"{probed.library.title}, {probed.info.path}", trials)

    def _problem(self, image: Image, what: str) -> None:
        self.coverage.problems.append(f"{image.path}: {what}")


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
