"""What a process costs, and whether it is probed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that the processes, and their children that ended, have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_SECOND


def peak_memory(pids: Iterable[int]) -> int:
    """The sum of the processes' greatest resident sizes, in bytes."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) * 1024
    return total


def changed_bytes(pid: int, library: Path) -> int:
    """How many bytes of the library's code differ from the file: each uprobe is a trap of one byte."""
    content = library.read_bytes()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        bounds, permissions, offset, *_, path = line.split()
        if permissions != "r-xp" or path != str(library):
            continue
        start, end = (int(bound, 16) for bound in bounds.split("-"))
        expected = content[int(offset, 16) :][: end - start]
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(start)
            code = memory.read(len(expected))
        return sum(one != other for one, other in zip(code, expected, strict=True))
    raise RuntimeError(f"process {pid} does not map {library}")
