"""Goes through processes and files, and keeps the images that contain TLS code."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from tlstap.discovery import ldcache, processes
from tlstap.discovery.analysis import NONE_GIVEN, Locator, analyse
from tlstap.discovery.cache import Entry, ReportCache
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.elf_parts import ForeignElfError, NotElfError
from tlstap.discovery.files import FileIdentity, digest, open_regular
from tlstap.discovery.given import GivenAddresses
from tlstap.discovery.large_files import LARGE, Digesting, LargeFile, ShowWork, Work
from tlstap.discovery.processes import CodeMapping, Stamp, printable
from tlstap.discovery.recognise import OpenBeside
from tlstap.errors import ElfError, ProcessGoneError

if TYPE_CHECKING:
    from tlstap.discovery.report import ImageReport
    from tlstap.library import Library

DiagnosticKind = Literal["unreadable", "malformed", "foreign", "truncated"]

_MAX_SUBJECTS = 10_000


@dataclass(eq=False, slots=True)
class Image:
    """A file with TLS code.

    `path` is for messages, as the first process that mapped it sees it. `fd` is open on exactly the file
    that was analysed, so probes can be attached through /proc/self/fd; None if there is nothing to probe.
    `pids` are the processes seen to map it.
    """

    identity: FileIdentity
    path: str
    fd: int | None
    report: ImageReport
    pids: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Diagnostic:
    """Something that could not be looked at: how often, and one example."""

    count: int
    example: str


@dataclass(slots=True)
class Diagnostics:
    """What a scan left out. Processes that vanished meanwhile are normal, and only counted."""

    vanished: int = 0
    left_out: dict[DiagnosticKind, Diagnostic] = field(default_factory=dict)
    _subjects: set[tuple[DiagnosticKind, object]] = field(default_factory=set)

    def add(self, kind: DiagnosticKind, subject: object, message: str) -> None:
        """Count a subject (a process, a file) once."""
        if (kind, subject) in self._subjects or len(self._subjects) >= _MAX_SUBJECTS:
            return
        self._subjects.add((kind, subject))
        self.left_out.setdefault(kind, Diagnostic(0, message)).count += 1


_Seen = dict[object, Image | LargeFile | None]


class Scanner:
    """Keeps track of which files contain TLS code and which processes map them.

        with Scanner(registry.libraries.values(), registry.locate) as scanner:
            new = scanner.scan() + scanner.scan_ldcache()
            ...
            new = scanner.scan()  # again: only what changed is looked at

    Images are held until `close`. Not for several threads at once.
    """

    def __init__(
        self,
        libraries: Collection[Library],
        locator: Locator,
        cache: ReportCache | None = None,
        *,
        given: GivenAddresses = NONE_GIVEN,
        put_off_large: bool = False,
        show_work: ShowWork = lambda path, done, total: None,
    ) -> None:
        """:param put_off_large: leave files that take long to `large`, for the caller to look into.
        :param show_work: else, called while one of them is looked into.
        """
        self._show_work = show_work
        self.images: list[Image] = []
        self.large: list[LargeFile] = []
        self._given = given
        self._put_off_large = put_off_large
        self._put_off: dict[FileIdentity, LargeFile] = {}
        self.diagnostics = Diagnostics()
        self._libraries = tuple(libraries)
        self._locator = locator
        self._cache = cache
        self._held: dict[tuple[int, int], Image] = {}
        self._not_held: dict[FileIdentity, Image | None] = {}
        self._stamps: dict[int, Stamp] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Save the cache and close the images' files."""
        self.save()
        for image in self.images:
            if image.fd is not None:
                os.close(image.fd)
                image.fd = None
        for large in self.large:
            if not large.busy:
                os.close(large.fd)
        self.large.clear()
        self.images.clear()
        self._held.clear()

    def save(self) -> None:
        """Write what was found to the user's cache."""
        if self._cache is not None:
            self._cache.save()

    # What to look at

    def scan(self, pids: Iterable[int] | None = None) -> list[Image]:
        """Look at processes, all but this one by default, that are new or whose mappings changed in size.

        :return: images that were not known before.
        """
        before = len(self.images)
        seen: _Seen = {}
        everything = pids is None
        present = set(processes.pids()) - {os.getpid()} if pids is None else set(pids)
        for pid in present:
            self._scan_process(pid, seen, only_changed=True)
        if everything:
            for pid in self._stamps.keys() - present:
                self._forget(pid)
        return self.images[before:]

    def scan_pid(self, pid: int) -> list[Image]:
        """Look at one process, changed or not: it has executed another program."""
        before = len(self.images)
        self._scan_process(pid, {}, only_changed=False)
        return self.images[before:]

    def scan_files(self, paths: Iterable[str]) -> list[Image]:
        """Look at files.

        :raise ElfError: if one of them can't be opened or is malformed.
        """
        before = len(self.images)
        for path in paths:
            try:
                path_fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise ElfError(f"{printable(path)}: can't be opened: {reason}") from None
            try:
                real = os.path.realpath(path)
                self._look(path_fd, printable(path), partial(processes.open_beside, None, real))
            except OSError as error:
                raise ElfError(f"{printable(path)}: can't be read: {error.strerror}") from None
            finally:
                os.close(path_fd)
        return self.images[before:]

    def scan_ldcache(self) -> list[Image]:
        """Look at the libraries that the dynamic loader knows and that plugins name."""
        before = len(self.images)
        sonames = {start for library in self._libraries for start in library.sonames}
        for path in ldcache.known_libraries(sonames):
            try:
                self.scan_files([path])
            except ElfError as error:
                self.diagnostics.add("malformed", path, str(error))
        return self.images[before:]

    # Processes

    def _scan_process(self, pid: int, seen: _Seen, *, only_changed: bool) -> None:
        try:
            stamp = processes.stamp(pid)
            if only_changed and self._stamps.get(pid) == stamp:
                return
            self._forget(pid)
            if stamp.virtual_size:
                mappings, complete = processes.code_mappings(pid)
                if not complete:
                    self.diagnostics.add("truncated", pid, f"process {pid}: maps too much to be looked at")
                namespace = processes.mount_namespace(pid)
                for mapping in mappings:
                    self._look_at_mapping(pid, namespace, mapping, seen)
            self._stamps[pid] = stamp
        except ProcessGoneError:
            self.diagnostics.vanished += 1
            self._forget(pid)
        except PermissionError:
            self._stamps[pid] = stamp
            self.diagnostics.add("unreadable", pid, f"process {pid}: permission denied")

    def _forget(self, pid: int) -> None:
        if self._stamps.pop(pid, None) is not None:
            for pids in [one.pids for one in self.images] + [one.pids for one in self.large]:
                pids.discard(pid)

    def _look_at_mapping(self, pid: int, namespace: object, mapping: CodeMapping, seen: _Seen) -> None:
        """Each file once in a scan. Numbers of files repeat on btrfs, so the mount namespace counts too."""
        key = (namespace, mapping.device, mapping.inode, mapping.path)
        if key not in seen:
            seen[key] = self._open_mapping(pid, mapping)
        image = seen[key]
        if image is not None:
            image.pids.add(pid)

    def _open_mapping(self, pid: int, mapping: CodeMapping) -> Image | LargeFile | None:
        path = printable(mapping.path)
        try:
            path_fd = processes.mapped_file(pid, mapping)
            try:
                return self._look(path_fd, path, partial(processes.open_beside, pid, mapping.path))
            finally:
                os.close(path_fd)
        except ElfError as error:
            kind: DiagnosticKind = "foreign" if isinstance(error, ForeignElfError) else "malformed"
            self.diagnostics.add(kind, mapping.file, str(error))
        except OSError as error:
            if not Path(f"/proc/{pid}").exists():
                raise ProcessGoneError(f"process {pid}: no such process") from None
            self.diagnostics.add("unreadable", mapping.file, f"{path} of process {pid}: {error.strerror}")
        return None

    # Files

    def _look(self, path_fd: int, path: str, open_beside: OpenBeside) -> Image | LargeFile | None:
        """The image of a file, known or new; None if it has no TLS code."""
        identity = FileIdentity.of(os.fstat(path_fd))
        # While we hold a file open, nothing else gets its inode; times change already when it is unlinked.
        held = self._held.get((identity.device, identity.inode))
        if held is not None:
            return held
        if identity in self._not_held:
            return self._not_held[identity]
        if identity in self._put_off:
            return self._put_off[identity]
        given = bool(self._given.of(identity.device, identity.inode))
        entry = self._cache.get(identity) if self._cache and not given else None
        if entry is not None and entry.report is None:
            self._not_held[identity] = None
            return None
        fd = open_regular(path_fd)
        try:
            if entry is None or not _companions_unchanged(entry, open_beside):
                if self._put_off_large and identity.size > LARGE:
                    large = LargeFile(identity, path, fd, open_beside, self._look_into)
                    self._put_off[identity] = large
                    self.large.append(large)
                    fd = -1
                    return large
                try:
                    entry = self._examine(fd, identity, path, open_beside, self._work(path, identity.size))
                except ElfError:
                    self._not_held[identity] = None
                    raise
            image, taken = self._take(identity, path, fd, entry)
            if taken:
                fd = -1
            return image
        finally:
            if fd >= 0:
                os.close(fd)

    def _work(self, path: str, size: int) -> Callable[[int], None]:
        return Work(path, size, self._show_work) if size > LARGE else lambda size: None

    def _take(self, identity: FileIdentity, path: str, fd: int, entry: Entry) -> tuple[Image | None, bool]:
        """The image that was found in a file, and whether it keeps the descriptor."""
        if entry.report is None:
            self._not_held[identity] = None
            return None, False
        image = Image(identity, path, None, entry.report)
        if entry.places_probes:
            image.fd = fd
            self._held[identity.device, identity.inode] = image
        else:
            self._not_held[identity] = image
        self.images.append(image)
        return image, entry.places_probes

    def _examine(
        self,
        fd: int,
        identity: FileIdentity,
        path: str,
        open_beside: OpenBeside,
        progress: Callable[[int], None] = lambda size: None,
    ) -> Entry:
        """Analyse a file, unless one with the same content is in the cache."""
        cache = None if self._given.of(identity.device, identity.inode) else self._cache
        try:
            with ElfImage.from_fd(fd, path) as elf:
                elf.progress = progress
                if cache:
                    known = cache.get_by_content(identity, elf.build_id, fd)
                    if known is not None and _companions_unchanged(known, open_beside):
                        cache.put(identity, known)
                        return known
                _, entry = examine(elf, self._libraries, self._locator, open_beside, self._given)
        except NotElfError:
            entry = Entry(report=None)
        if cache and FileIdentity.of(os.fstat(fd)) == identity:
            cache.put(identity, entry)
        return entry

    # Large files

    def _look_into(self, large: LargeFile, progress: Callable[[int], None]) -> None:
        try:
            large.entry = self._examine(large.fd, large.identity, large.path, large.open_beside, progress)
        except ElfError as error:
            large.problem = error

    def take_in(self, large: LargeFile) -> list[Image]:
        """What was found in a file that was put off and has been looked into.

        :return: the image, if it has TLS code.
        """
        self.large.remove(large)
        del self._put_off[large.identity]
        image, taken = None, False
        if large.entry is not None:
            image, taken = self._take(large.identity, large.path, large.fd, large.entry)
        else:
            self._not_held[large.identity] = None
            kind: DiagnosticKind = "foreign" if isinstance(large.problem, ForeignElfError) else "malformed"
            self.diagnostics.add(kind, large.identity, str(large.problem))
        if not taken:
            os.close(large.fd)
        if image is None:
            return []
        image.pids |= large.pids
        return [image]


def examine(
    image: ElfImage,
    libraries: Collection[Library],
    locator: Locator,
    open_beside: OpenBeside,
    given: GivenAddresses = NONE_GIVEN,
) -> tuple[ImageReport, Entry]:
    """Analyse an image: all that can be said of it, and what the cache shall remember."""
    companions: dict[str, FileIdentity] = {}
    digesting = Digesting(image.fd) if image.size > LARGE else None
    report = analyse(image, libraries, locator, _recording(open_beside, companions), given)
    content = ""
    if report.libraries:
        content = digest(image.fd) if digesting is None else digesting.result()
    tells = bool(report.libraries or report.unsupported or report.problems)
    return report, Entry(report if tells else None, content, companions)


def _recording(open_beside: OpenBeside, companions: dict[str, FileIdentity]) -> OpenBeside:
    def opened(name: str) -> int:
        fd = open_beside(name)
        companions[name] = FileIdentity.of(os.fstat(fd))
        return fd

    return opened


def _companions_unchanged(entry: Entry, open_beside: OpenBeside) -> bool:
    for name, identity in entry.companions.items():
        try:
            fd = open_beside(name)
        except OSError:
            return False
        try:
            if FileIdentity.of(os.fstat(fd)) != identity:
                return False
        finally:
            os.close(fd)
    return True
