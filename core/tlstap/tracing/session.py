"""A trace from its start to its end: discovery, engine, ring and tracker put together.

The reading thread alternates between draining the ring, which must never wait long, and letting the next
step take records. A second thread (watch.Watch) finds what appears meanwhile.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tlstap.discovery import processes
from tlstap.discovery.cache import ReportCache
from tlstap.discovery.command import files_of_command
from tlstap.discovery.files import FileIdentity
from tlstap.discovery.given import GivenAddresses
from tlstap.discovery.large_files import ShowWork
from tlstap.discovery.scan import Image, Scanner
from tlstap.errors import ElfError, ProcessGoneError, UsageError
from tlstap.library import Library
from tlstap.records import Lost, TraceRecord
from tlstap.registry import Registry
from tlstap.tracing import layout
from tlstap.tracing.attacher import Attacher, Coverage
from tlstap.tracing.building import Built, build, chosen_libraries
from tlstap.tracing.child import Child
from tlstap.tracing.connections import NOT_WAITED_FOR, RING_FULL, ConnectionTracker
from tlstap.tracing.describing import Describing
from tlstap.tracing.engine import Engine, Totals
from tlstap.tracing.filters import Filters
from tlstap.tracing.kernel import KernelFacts, kernel_facts, require_privilege
from tlstap.tracing.layout import Counter, EventKind
from tlstap.tracing.machine import Machine, ProbedImage
from tlstap.tracing.options import Options, Summary, Tell
from tlstap.tracing.plan import ProbeTable
from tlstap.tracing.priority import Priority
from tlstap.tracing.reader import Reader
from tlstap.tracing.ring import Ring
from tlstap.tracing.trial import Suspect, Trials
from tlstap.tracing.watch import Watch

DRAIN_SECONDS = 0.004
"""The ring is drained at least this often while records are looked at."""

PATIENCE_SECONDS = 0.3
"""After the end, before the user is told that there is still much to write."""

FAR_BEHIND = 32 << 20
"""If so many bytes are held back, looking at them is urgent."""

HOUSEKEEPING_SECONDS = 1.0
TRIAL_SECONDS = 0.02
"""While records are held back, this often it is asked whether what was written has been sent."""

FAST_SHARE = 16
"""If more than this part of the ring was filled when it was drained, the next draining is urgent."""


class Session:
    """One trace.

        with Session(registry, options) as session:
            for record in session.records():
                ...

    :param tell: called with lines about what is found or can't be traced while tracing, from any thread.
    :param show_work: called while a large file is looked into before the trace.
    :raises TlstapError: from `__enter__`, if tracing can't begin.
    """

    def __init__(
        self,
        registry: Registry,
        options: Options,
        tell: Tell = lambda line: None,
        show_work: ShowWork = lambda path, done, total: None,
    ) -> None:
        self.child: Child | None = None
        self.summary = Summary()
        self._registry = registry
        self._options = options
        self._tell = tell
        self._show_work = show_work
        self._started = self._stopping = self._hurry = False
        self._deadline: float | None = None
        self._ended_unheard: list[Totals] = []
        self._housekeeping_due = 0.0
        self._trials_due = 0.0
        self._lost_seen = 0
        self._command_files: list[str] = []
        self._named_files: list[str] = []
        self._wake: Callable[[], None] = lambda: None
        self._cleanup = contextlib.ExitStack()

    # ---- start and end ----

    def start(self) -> None:
        """Put the probes in place; the caller then has to `close`.

        :raises TlstapError: tracing can't begin; nothing is left behind.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Start, unless that was done."""
        if not self._started:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._started = True
        options = self._options
        require_privilege()
        options.check()
        for pid in options.filters.pids:
            if not Path(f"/proc/{pid}").exists():
                raise ProcessGoneError(f"there is no process {pid}; tlstap libs lists those that use TLS")
        facts = kernel_facts()
        libraries = chosen_libraries(self._registry, options.filters.libraries)
        filters = options.filters
        if options.command:
            self.child = Child(options.command)
            self._cleanup.callback(self.child.close)
            filters = filters.with_command(self.child.pid)
            self._command_files = _absolute(files_of_command(options.command, os.environ))
        _allow_many_files()  # not for the command, which has begun with its own limit
        # All known libraries are looked for, so that one that was not asked for is never taken for another.
        known = self._registry.libraries.values()
        given = GivenAddresses(options.given, options.filters.libraries)
        self.scanner = Scanner(
            known, self._registry.locate, ReportCache(known), given=given, put_off_large=True
        )
        self._cleanup.callback(self.scanner.close)
        # BCC changes the working directory while it compiles.
        self._named_files = _absolute((*options.given_files, *options.files))
        with ThreadPoolExecutor(1) as pool:
            # The compiler leaves Python alone meanwhile.
            scan = pool.submit(self._scan)
            built = self._make_engine(libraries, facts, filters)
            images = scan.result()
        self._trials = Trials(self._withdraw, self.engine.traffic, self.engine.end_trial)
        attacher = Attacher(self.engine, built.table, self._machine, built.libraries, self._trials)
        self.coverage: Coverage = attacher.coverage
        self.coverage.problems += built.problems
        attacher.attach(images)
        self._look_into_asked_for(attacher)
        self.scanner.save()
        for pid in self.pids_of_interest():  # it may end before the first record of it is looked at
            self._machine.look_at_process(pid)
        self._watch = Watch(self.scanner, attacher, self._pids_to_scan, self._tell_found)
        if self.child is not None:
            self._reader.watch(self.child.pidfd)
            self.child.release()
        if options.duration is not None:
            self._deadline = time.monotonic() + options.duration

    def _make_engine(self, libraries: Sequence[Library], facts: KernelFacts, filters: Filters) -> Built:
        options = self._options

        def make(table: ProbeTable, snippets: Mapping[str, str], careful: bool) -> Engine:
            return Engine(
                table,
                snippets,
                facts,
                filters,
                ring_bytes=options.buffer_bytes,
                attachment=options.attachment,
                sockets=options.sockets,
                careful=careful,
            )

        built = build(self._registry, libraries, make)
        self.engine = built.engine
        self._cleanup.callback(self.engine.close)
        self._machine = Machine(built.table, Describing(self._registry, self._tell))
        self._machine.engine = self.engine
        self._tracker = ConnectionTracker(self._machine)
        ring = Ring(self.engine.ring_fd, options.buffer_bytes)
        self._reader = Reader(ring, self.engine.reader_sleeps)
        self._wake = self._reader.wake
        self._cleanup.callback(self._reader.close)
        return built

    def _look_into_asked_for(self, attacher: Attacher) -> None:
        """Large files of the processes and commands that the user named: there the trace begins with them."""
        pids, files = self._options.filters.pids, set()
        for path in (*self._command_files, *self._options.given_files, *self._options.files):
            with contextlib.suppress(OSError):
                files.add(FileIdentity.of(Path(path).stat()))
        for large in list(self.scanner.large):
            if large.pids & pids or large.identity in files:
                large.look(self._show_work)
                attacher.attach(self.scanner.take_in(large))
        known = {image.identity for image in self.scanner.images}
        for path in self._options.given_files:
            if FileIdentity.of(Path(path).stat()) not in known:
                raise UsageError(f"{path}: an address was given for it, but it is no program or library")

    @property
    def looked_into(self) -> tuple[str, int, int] | None:
        """The large file that is looked into while tracing: its path, bytes that are done, bytes to do."""
        if self._watch.lookout.work is not None:
            return self._watch.lookout.work
        return (self.scanner.large[0].path, 0, 1) if self.scanner.large else None

    def _scan(self) -> list[Image]:
        """The images that are there now, or soon will be."""
        pids = self._pids_to_scan()
        images = self.scanner.scan(pids)
        if pids is None:
            images += self.scanner.scan_ldcache()
        images += self.scanner.scan_files(self._named_files)
        for path in self._command_files:
            with contextlib.suppress(ElfError):  # the kernel will say what it thinks of it
                images += self.scanner.scan_files([path])
        return images

    def _pids_to_scan(self) -> list[int] | None:
        pids = self._options.filters.pids
        return sorted(pids) if pids and not self._options.command else None

    def _tell_found(self, probed: list[ProbedImage], problems: list[str], late: bool) -> None:
        for one in probed:
            for pid in tuple(one.image.pids):
                self._machine.look_at_process(pid)
            version = f" {one.info.version}" if one.info.version else ""
            missed = "; what passed while it was looked into was not seen" if late and one.image.pids else ""
            self._tell(f"also tracing {one.library.title}{version}, {one.info.path}{missed}")
        for problem in problems:
            self._tell(problem)

    def stop(self) -> None:
        """End the trace: `records` yields what was captured, then ends. For signal handlers and threads.

        A second call leaves out what was captured and not yet yielded; it is counted.
        """
        self._hurry = self._stopping
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """Detach everything; also after an error."""
        self._cleanup.close()

    # ---- what it is about ----

    @property
    def asked_for_pids(self) -> frozenset[int]:
        """The processes that the user named."""
        return self._options.filters.pids

    def images_of_command(self) -> list[Image]:
        """Files with TLS code that the command loads when it starts."""
        files = set()
        for path in self._command_files:
            with contextlib.suppress(OSError):
                status = Path(path).stat()
                files.add((status.st_dev, status.st_ino))
        return [
            image for image in self.scanner.images if (image.identity.device, image.identity.inode) in files
        ]

    def pids_of_interest(self) -> frozenset[int]:
        """The processes that use a TLS library and pass the filters, as far as that is known now."""
        if self._options.command:
            return frozenset()
        everyone = frozenset[int]().union(*(image.pids for image in self.scanner.images))
        return frozenset(pid for pid in everyone if self._is_of_interest(pid))

    def _is_of_interest(self, pid: int) -> bool:
        filters = self._options.filters
        if filters.pids and pid not in filters.pids:
            return False
        try:
            return filters.admit(processes.facts(pid))
        except (ProcessGoneError, PermissionError):
            return False

    @staticmethod
    def now() -> int:
        """Wall clock, nanoseconds since the epoch."""
        return time.time_ns()

    # ---- records ----

    def records(
        self, idle: Callable[[], None] = lambda: None, ending: Callable[[], object] = lambda: None
    ) -> Iterator[TraceRecord]:
        """What happens, until `stop`, the duration or the command's end.

        :param idle: called when there is nothing to yield for a moment.
        :param ending: called when the probes are gone and only what was captured is left to be yielded.
        """
        self._watch.start()
        self._cleanup.callback(self._watch.end)
        priority = Priority()
        self._cleanup.callback(priority.lower)
        while not self._is_over():
            # Looking at records is no reason to hold up the traced program, unless it gets far ahead.
            if self._drain() < self._options.buffer_bytes // FAST_SHARE and self._reader.held < FAR_BEHIND:
                priority.lower()
            else:
                priority.raise_()
            if not self._reader.backlog:
                idle()
                priority.raise_()
                self._reader.wait(min(self._time_left(), TRIAL_SECONDS if self._trials.holding else math.inf))
            yield from self._records_for(DRAIN_SECONDS)
            yield from self._look_at_trials()
            yield from self._keep_house()
        self.engine.detach()
        ending()
        yield from self._last_records()

    def _is_over(self) -> bool:
        if self.child is not None and self.child.poll():
            return True
        return self._stopping or (self._deadline is not None and time.monotonic() >= self._deadline)

    def _time_left(self) -> float:
        due = [self._housekeeping_due] if self._deadline is None else [self._housekeeping_due, self._deadline]
        return max(0.0, min(due) - time.monotonic())

    def _drain(self) -> int:
        """Take what is in the ring; how many bytes that was.

        What must be seen at once, is: a process may be gone in a moment.
        """
        held = self._reader.held
        for raw in self._reader.drain():
            match raw[layout.KIND_OFFSET]:
                case EventKind.BIRTH:
                    self._machine.look_at_process(layout.tgid_of(raw))
                case EventKind.HANDSHAKE:
                    self._machine.look_at_socket(layout.tgid_of(raw), layout.HEADER.unpack_from(raw)[12])
                case EventKind.EXEC:
                    self._machine.look_at_process(layout.tgid_of(raw), layout.text_of(raw))
                    self._watch.look_at(layout.tgid_of(raw))
        return self._reader.held - held

    def _records_for(self, seconds: float) -> Iterator[TraceRecord]:
        until = time.monotonic() + seconds
        backlog, take, believe = self._reader.backlog, self._tracker.take, self._trials.take
        while backlog:
            self.summary.records += 1
            for raw in believe(self._reader.next()):
                yield from take(raw)
            if time.monotonic() >= until:
                return

    def _look_at_trials(self) -> Iterator[TraceRecord]:
        """Records that are held back until something proves them."""
        now = time.monotonic()
        if self._trials.holding and not self._reader.backlog and now >= self._trials_due:
            self._trials_due = now + TRIAL_SECONDS
            for raw in self._trials.look_again():
                yield from self._tracker.take(raw)

    def _withdraw(self, suspect: Suspect, why: str) -> None:
        """A function turned out not to be what its signature says. The reader can't wait for the kernel."""
        for image in suspect.images:
            threading.Thread(target=self.engine.detach_image, args=(image,), name="tlstap-withdraw").start()
        self._tell(why)

    def _keep_house(self) -> Iterator[TraceRecord]:
        """Once a second: connections whose end found no room in the ring, processes whose end did not."""
        now = time.monotonic()
        if now < self._housekeeping_due or self._reader.backlog:
            return
        self._housekeeping_due = now + HOUSEKEEPING_SECONDS
        for totals in self._ended_unheard:
            yield from self._tracker.ended_unheard(totals)
        self._ended_unheard = []
        lost = self.engine.counters()[Counter.LOST_EVENTS]
        if lost == self._lost_seen:
            return
        self._lost_seen = lost
        # Their data may still be in the ring: they are told of the next time.
        self._ended_unheard = list(self.engine.take_ended())
        self._housekeeping_due = 0.0
        for pid in self._tracker.pids():
            if not Path(f"/proc/{pid}").exists():
                records: list[TraceRecord] = []
                self._tracker.process_ended(pid, time.monotonic_ns(), records)
                yield from records

    def _last_records(self) -> Iterator[TraceRecord]:
        """After detaching: what is in the ring, then the ends."""
        ended = [*self._ended_unheard, *self.engine.take_ended()]
        yield from self._captured()
        for raw in self._trials.finish():
            yield from self._tracker.take(raw)
        for suspect in self._trials.suspects:
            if suspect.undecided:
                self._tell(
                    f"{suspect.where}: {suspect.undecided} captured records are left out, since nothing has "
                    "proven its functions right or wrong"
                )
        if self._reader.backlog:
            self._tracker.why_missing = NOT_WAITED_FOR
        for totals in ended:
            yield from self._tracker.ended_unheard(totals)
        yield from self._tracker.finish()
        self.summary.take_counters(self.engine.counters())
        self.summary.left_out_records = len(self._reader.backlog)
        unknown = self.summary.lost_bytes - self._tracker.known_lost_bytes
        if self.summary.lost_records:
            yield Lost(None, None, time.time_ns(), self.summary.lost_records, max(0, unknown), RING_FULL)

    def _captured(self) -> Iterator[TraceRecord]:
        """What is in the ring and the backlog, unless the user can't wait for it."""
        patience = time.monotonic() + PATIENCE_SECONDS
        self._drain()
        while self._reader.backlog and not self._hurry:
            yield from self._records_for(DRAIN_SECONDS)
            self._drain()
            if time.monotonic() > patience:
                patience = math.inf
                self._tell(
                    f"detached; {len(self._reader.backlog):,} captured records are still to be written, "
                    "stop once more to leave them out"
                )


def _allow_many_files() -> None:
    """Each image is held open, and each probe is a descriptor where they are attached one by one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _absolute(paths: Iterable[str]) -> list[str]:
    """Paths that don't depend on the working directory."""
    return [os.path.abspath(path) for path in paths]  # noqa: PTH100 - it normalizes, too
