"""Reads /proc: which processes there are, what each of them is, and which files it has mapped as code.

A process may vanish between any two reads: that is a ProcessGoneError, never more.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tlstap.discovery.files import open_regular, path_in_root
from tlstap.errors import ProcessGoneError

_DELETED = " (deleted)"
_MAX_MAPS = 64 << 20
_MAX_SMALL = 64 << 10

# start-end perms offset device inode path, of mappings with code of files
_CODE_MAPPING = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) ..x. [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) ([1-9]\d*) +(/[^\n]*)$", re.MULTILINE
)

# Docker, Podman, containerd and CRI-O (Kubernetes or not) all end in 64 hexadecimal digits.
_CONTAINER_ID = re.compile(r"(?<!conmon-)(?<![0-9a-f])([0-9a-f]{64})(?:\.scope)?(?=/|$)", re.MULTILINE)
_CONTAINER_NAME = re.compile(
    r"/lxc(?:\.payload[./]|/)(?P<lxc>[^/\n]+)"
    r"|/systemd-nspawn@(?P<nspawn>[^/\n]+)\.service"
    r"|/machine\.slice/machine-(?P<machine>(?!qemu)[^/\n]+)\.scope"
    r"|/ecs/(?:[^/\n]+/)*(?P<ecs>[0-9a-f]{32}-\d+)(?=/|$)",
    re.MULTILINE,
)


class Stamp(NamedTuple):
    """Changes when a process is another one (start time) or maps more or less (size in bytes)."""

    start_time: int
    virtual_size: int


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What is known about a process. `start_time` in clock ticks since boot tells a reused pid apart."""

    pid: int
    comm: str
    uid: int
    exe: str | None
    container: str | None
    start_time: int


class CodeMapping(NamedTuple):
    """A file that a process has mapped as code; one of its mappings stands for all.

    `path` is as the process's mount namespace has it, with undecodable bytes as surrogates. `device` is
    as /proc/PID/maps says, which on overlayfs and btrfs is not what stat says.
    """

    device: str
    inode: int
    path: str
    deleted: bool
    start: int
    end: int

    @property
    def file(self) -> tuple[str, int, str]:
        """The same for all mappings of the file, in all processes of a mount namespace."""
        return (self.device, self.inode, self.path)


def pids() -> list[int]:
    """The processes that exist now."""
    with os.scandir("/proc") as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit()]


def stamp(pid: int) -> Stamp:
    """When the process started and how much it maps; the size is 0 for threads of the kernel.

    :raise ProcessGoneError: if there is no such process.
    """
    # The name in parentheses may contain anything, also parentheses.
    values = _read(pid, "stat").rpartition(b")")[2].split()
    if len(values) < 21:
        raise ProcessGoneError(f"process {pid}: no such process")
    return Stamp(int(values[19]), int(values[20]))


def facts(pid: int) -> ProcessFacts:
    """What is known about a process.

    :raise ProcessGoneError: if there is no such process.
    """
    start_time = stamp(pid).start_time
    comm = printable(_read(pid, "comm").removesuffix(b"\n"))
    uid = re.search(rb"^Uid:\s+(\d+)", _read(pid, "status"), re.MULTILINE)
    exe = None
    with suppress(OSError):
        exe = printable(str(Path(f"/proc/{pid}/exe").readlink())).removesuffix(_DELETED)
    container = container_id(printable(_read(pid, "cgroup")))
    return ProcessFacts(pid, comm, int(uid[1]) if uid else 0, exe, container, start_time)


def container_id(cgroup: str) -> str | None:
    """The container's id or name in the text of /proc/PID/cgroup; the innermost of nested ones."""
    if ids := _CONTAINER_ID.findall(cgroup):
        return str(ids[-1])
    name = None
    for match in _CONTAINER_NAME.finditer(cgroup):
        name = next(text for text in match.groups() if text)
    return re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), name) if name else None


def code_mappings(pid: int) -> tuple[list[CodeMapping], bool]:
    """The files that a process has mapped as code, each once, and whether that is all.

    :raise ProcessGoneError: if there is no such process.
    :raise PermissionError: if we may not look.
    """
    text = _read(pid, "maps", _MAX_MAPS)
    complete = len(text) < _MAX_MAPS
    files: dict[tuple[bytes, bytes, bytes], CodeMapping] = {}
    for start, end, device, inode, path in _CODE_MAPPING.findall(text):
        if (device, inode, path) not in files:
            name = os.fsdecode(path.replace(rb"\012", b"\n"))
            deleted = name.endswith(_DELETED)
            files[device, inode, path] = CodeMapping(
                device.decode(),
                int(inode),
                name.removesuffix(_DELETED) if deleted else name,
                deleted,
                int(start, 16),
                int(end, 16),
            )
    return list(files.values()), complete


def mount_namespace(pid: int) -> object:
    """Equal for processes that share a mount namespace; without permission to look, for none."""
    try:
        return Path(f"/proc/{pid}/ns/mnt").stat().st_ino
    except OSError:
        return ("process", pid)


def mapped_file(pid: int, mapping: CodeMapping) -> int:
    """An O_PATH descriptor of exactly the file that is mapped.

    With privileges through /proc/PID/map_files, right also if the file is deleted or in another mount
    namespace; else by its path, if the file there is still the same one.

    :raise OSError: if it can't be reached: no permission, unmapped meanwhile, deleted, replaced.
    """
    with suppress(PermissionError, FileNotFoundError):
        link = f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"
        return os.open(link, os.O_PATH | os.O_CLOEXEC)
    if mapping.deleted:
        raise FileNotFoundError(errno.ENOENT, "deleted", mapping.path)
    fd = path_in_root(f"/proc/{pid}/root", mapping.path)
    if _same_file(os.fstat(fd), mapping):
        return fd
    os.close(fd)
    raise OSError(errno.ESTALE, "another file has taken its place", mapping.path)


def _same_file(status: os.stat_result, mapping: CodeMapping) -> bool:
    """Devices with major 0 are not compared: on overlayfs and btrfs, stat and maps have different ones."""
    major, minor = (int(number, 16) for number in mapping.device.split(":"))
    if major and os.major(status.st_dev) and status.st_dev != os.makedev(major, minor):
        return False
    return status.st_ino == mapping.inode


def open_beside(pid: int | None, path: str, name: str) -> int:
    """Open a file in the same folder as another one, as that process sees it (None: as we do).

    :raise OSError: if there is no such regular file.
    """
    folder = Path(path).parent
    if "/" in name:
        raise FileNotFoundError(name)
    if pid is None:
        return open_regular(f"{folder}/{name}")
    path_fd = path_in_root(f"/proc/{pid}/root", f"{folder}/{name}")
    try:
        return open_regular(path_fd)
    finally:
        os.close(path_fd)


def printable(name: bytes | str) -> str:
    """A name as text that every encoder takes; bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _read(pid: int, name: str, limit: int = _MAX_SMALL) -> bytes:
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while limit > 0 and (part := os.read(fd, min(limit, 1 << 17))):
                parts.append(part)
                limit -= len(part)
            return b"".join(parts)
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessGoneError(f"process {pid}: no such process") from None
