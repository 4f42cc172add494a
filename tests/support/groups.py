"""Processes that start others: a group of their own, of which nothing is left at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.wait import wait_until


@contextmanager
def group(
    command: Sequence[str | Path], environment: Mapping[str, str], output: Path, errors: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command as the head of a group; at the end all of the group is killed.

    :param output: the file for what it prints.
    :param errors: the file for what it says on stderr; may be the same.
    """
    with output.open("ab") as out, errors.open("ab") as err:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(environment),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: not _lives(process.pid), f"all processes of {command[0]} to end")


def _lives(number: int) -> bool:
    """Whether a process of the group is more than a zombie, which nobody may collect."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == number and state not in "ZX":
                return True
    return False
