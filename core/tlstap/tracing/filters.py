"""What the user wants to see, in the terms in which BPF decides it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from tlstap.discovery.processes import ProcessFacts
from tlstap.errors import UsageError

COMM_BYTES = 15
"""The kernel keeps this many bytes of a thread's name."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which processes are traced: the kinds are ANDed, the values within a kind ORed; empty means any.

    `pids` are thread group ids; with `follow_children` their future children are traced too.
    """

    pids: frozenset[int] = frozenset()
    uids: frozenset[int] = frozenset()
    comms: frozenset[str] = frozenset()
    exes: frozenset[str] = frozenset()
    follow_children: bool = False
    libraries: frozenset[str] = field(default_factory=frozenset)

    def with_command(self, pid: int) -> Filters:
        """The same for a command that was started: its process, and its children to come."""
        return replace(self, pids=self.pids | {pid}, follow_children=True)

    def admit(self, facts: ProcessFacts) -> bool:
        """Whether a process passes the filters, apart from its number."""
        return (
            (not self.uids or facts.uid in self.uids)
            and (not self.comms or facts.comm in {comm[:COMM_BYTES] for comm in self.comms})
            and (not self.exes or facts.exe in {str(Path(exe).resolve()) for exe in self.exes})
        )

    def comm_keys(self) -> list[bytes]:
        """Each name as the kernel has it: cut to 15 bytes, filled with NUL to 16."""
        return [os.fsencode(comm)[:COMM_BYTES].ljust(COMM_BYTES + 1, b"\0") for comm in self.comms]

    def exe_keys(self) -> list[tuple[int, int]]:
        """(inode, device as the kernel counts it) of each executable.

        :raises UsageError: a path does not name a file.
        """
        keys = []
        for exe in self.exes:
            try:
                keys.append(_file_key(exe))
            except OSError as error:
                raise UsageError(f"--exe {exe}: {error.strerror}; give the path of an executable") from None
        return keys


def _file_key(path: str) -> tuple[int, int]:
    """Inode and device of a file as struct inode has them.

    On btrfs and on overlays of several file systems, stat(2) gives another device. The one of the mount is
    right; a mount of another mount namespace is not known here, and stat's has to do.
    """
    fd = os.open(path, os.O_PATH)
    try:
        status = os.fstat(fd)
        lines = (line.split() for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines())
    finally:
        os.close(fd)
    info = {words[0]: words[1] for words in lines if len(words) == 2}
    major, minor = os.major(status.st_dev), os.minor(status.st_dev)
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        mount, _, device, *_ = line.decode(errors="replace").split(" ")
        if mount == info.get("mnt_id:"):
            major, minor = map(int, device.split(":"))
    return int(info.get("ino:", status.st_ino)), major << 20 | minor  # "ino:" is there since Linux 5.14
