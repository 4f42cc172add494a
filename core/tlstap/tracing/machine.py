"""What the records of the ring refer to: the probed images, the declared probes, the processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tlstap.discovery import processes
from tlstap.discovery.scan import Image
from tlstap.errors import ProcessGoneError
from tlstap.library import Library, Probe
from tlstap.schema import LibraryInfo, Process
from tlstap.tracing import layout
from tlstap.tracing.addresses import Ends, ends_of
from tlstap.tracing.engine import Engine, Totals
from tlstap.tracing.plan import ProbeTable

MAX_PROCESSES = 4096
MAX_SOCKETS = 4096

Describe = Callable[[Library, str, bytes], str | None]


@dataclass(frozen=True, slots=True)
class ProbedImage:
    """A library in a file that is probed; `functions` by the index of the probe on them."""

    library: Library
    info: LibraryInfo
    image: Image
    functions: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _ProcessFacts:
    exe: str | None
    container: str | None


_UNKNOWN = _ProcessFacts(None, None)


class Machine:
    """Answers the tracker's questions. Images are numbered from 1 in the order of `add_image`.

    `add_image` may be called from another thread than the rest.
    """

    def __init__(self, table: ProbeTable, describe: Describe) -> None:
        self._table = table
        self._describe = describe
        self._images: list[ProbedImage] = []
        self._adding = threading.Lock()
        self._processes: dict[int, _ProcessFacts] = {}
        self._sockets: dict[tuple[int, bytes], Ends] = {}
        self.engine: Engine | None = None

    @property
    def images(self) -> list[ProbedImage]:
        """The probed images, the one with number 1 first."""
        return list(self._images)

    def add_image(self, probed: ProbedImage) -> int:
        """Take an image in; its number."""
        with self._adding:
            self._images.append(probed)
            return len(self._images)

    # ---- processes ----

    def look_at_process(self, pid: int, executed: str | None = None) -> None:
        """Read what /proc says of a process while it is there: records are looked at later.

        :param executed: the path of the program that it executes now, in case it is gone already.
        """
        if len(self._processes) >= MAX_PROCESSES:
            self._processes.clear()
        known = self._processes.get(pid, _UNKNOWN)
        if executed is not None:
            known = _ProcessFacts(executed if executed.startswith("/") else None, None)
        try:
            facts = processes.facts(pid)
        except (ProcessGoneError, PermissionError):
            self._processes[pid] = known
            return
        # A process that has ended but was not waited for still has all but its executable.
        self._processes[pid] = _ProcessFacts(facts.exe or known.exe, facts.container)

    def process(self, pid: int, tid: int, uid: int, comm: str) -> Process:
        """The process of a record."""
        if pid not in self._processes:
            self.look_at_process(pid)
        facts = self._processes[pid]
        return Process(pid=pid, tid=tid, uid=uid, comm=comm, exe=facts.exe, container=facts.container)

    # ---- libraries ----

    def library(self, image: int, probe: int, pid: int) -> LibraryInfo:
        """The library behind a probe of an image."""
        if image:
            return self._images[image - 1].info
        candidates = [one for one in self.images if probe in one.functions]
        if len(candidates) > 1:
            mapped = self._mapped_files(pid)
            candidates = [
                one
                for one in candidates
                if pid in one.image.pids or (one.image.identity.inode, one.image.path) in mapped
            ] or candidates
        if len({one.info for one in candidates}) == 1:
            return candidates[0].info
        names = {one.info.name for one in candidates}
        name = names.pop() if len(names) == 1 else "unknown"
        return LibraryInfo(name=name, version=None, path=None, build_id=None)

    def _mapped_files(self, pid: int) -> set[tuple[int, str]]:
        try:
            mappings, _ = processes.code_mappings(pid)
        except (ProcessGoneError, PermissionError):
            return set()
        return {(mapping.inode, processes.printable(mapping.path)) for mapping in mappings}

    def function(self, image: int, probe: int) -> str:
        """The function that a probe of an image is on."""
        if image:
            return self._images[image - 1].functions[probe]
        return self._table.probes[probe].function

    def describe(self, image: int, probe: int, value: bytes) -> list[tuple[str, str]]:
        """What a detail probe captured: fields of a connection and their texts, in words of the plugin."""
        declared = self._table.probes[probe]
        if declared.kind != "detail":
            return []
        library = self._library_of(image, declared)
        if library is None:
            return []
        found: list[tuple[str, str]] = []
        for detail in declared.details:
            text = self._describe(library, detail, value)
            found.append((detail, value.decode("utf-8", "backslashreplace") if text is None else text))
        return found

    def _library_of(self, image: int, probe: Probe) -> Library | None:
        """The library of an image; without a number, the first that declares the probe."""
        if image:
            return self._images[image - 1].library
        return next((one.library for one in self._images if probe in one.library.probes), None)

    # ---- sockets ----

    def look_at_socket(self, pid: int, address: bytes) -> None:
        """Ask /proc about a descriptor while its process is there."""
        if layout.ADDRESS.unpack(address)[4] == layout.FAMILY_DESCRIPTOR:
            if len(self._sockets) >= MAX_SOCKETS:
                self._sockets.clear()
            if ends := ends_of(address, pid):
                self._sockets[pid, address] = ends

    def ends(self, address: bytes, pid: int) -> Ends | None:
        """Both ends of a socket, from a struct address; None if it is none, or gone."""
        return self._sockets.pop((pid, address), None) or ends_of(address, pid)

    def totals(self, handle: int, pid: int) -> Totals | None:
        """What BPF counts for the connection that a handle has now."""
        return self.engine.totals(handle, pid) if self.engine else None

    def forget(self, handle: int, pid: int) -> None:
        """BPF shall forget the connection that a handle has now."""
        if self.engine:
            self.engine.forget(handle, pid)
