"""Starting a tool, knowing when it is in place, measuring and ending it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.wait import wait_until

from bench.processes import changed_bytes, cpu_seconds, peak_memory, tree
from bench.tools import Counted, Target, Tool, environment

READ_BACK = 300.0
"""Seconds that a tool may take to end: some write out what they have buffered."""


@dataclass
class Measured:
    """What one tool cost in one run; filled in when it has ended."""

    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    exit_seconds: float = 0.0
    captured: Counted = field(default_factory=lambda: Counted(None, None, None))


@contextmanager
def running(tool: Tool, target: Target, witness: int, folder: Path, direction: str) -> Iterator[Measured]:
    """Run a tool around the block, which starts when the tool's probes are in `witness`, a traced process.

    CPU time is that of the block and of the tool's end (buffered events are handled then), without its start.
    """
    output, errors = folder / "output", folder / "errors"
    before = changed_bytes(witness, target.library)
    measured = Measured()
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            tool.command(target, output),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment(tool, folder / "headers"),
        )
        try:
            _wait_in_place(process, witness, target.library, before, errors)
            pids = tree(process.pid)
            started = cpu_seconds(pids)
            yield measured
            measured.peak_bytes = peak_memory(tree(process.pid))
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            usage = _wait(process, again=tool.hard_of_hearing)
            measured.exit_seconds = time.monotonic() - began
            measured.cpu_seconds = usage.ru_utime + usage.ru_stime - started
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    messages = errors.read_text(errors="replace")
    measured.captured = tool.count(output, messages, direction)
    # The output may be large.
    output.unlink()


def _wait(process: subprocess.Popen[bytes], *, again: bool) -> resource.struct_rusage:
    """Wait for the end; what the process, and its children that it waited for, used in their lives.

    :param again: interrupt it again and again.
    """

    def ended() -> tuple[int, int, resource.struct_rusage] | None:
        if again:
            os.kill(process.pid, signal.SIGINT)  # Popen's own way would take the exit status
        result = os.wait4(process.pid, os.WNOHANG)
        return result if result[0] else None

    _, status, usage = wait_until(ended, "the tool to end", READ_BACK)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _wait_in_place(
    process: subprocess.Popen[bytes], witness: int, library: Path, before: int, errors: Path
) -> None:
    """Tools say in different ways, or not at all, that they are ready; their probes in the code don't lie."""
    seen = [-1, 0.0]

    def settled() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended: {errors.read_text(errors='replace')}")
        now, count = time.monotonic(), changed_bytes(witness, library)
        if count != seen[0]:
            seen[:] = [count, now]
        return count > before and now - seen[1] > 1.0

    wait_until(settled, "the probes", 120)


def seconds_to_first_event(
    tool: Tool, target: Target, request: list[str], marker: bytes, folder: Path
) -> float:
    """From starting a tool to the first output that shows the answer to a request made all the time."""
    output = folder / "output"
    output.unlink(missing_ok=True)
    with output.open("wb") as out, (folder / "errors").open("wb") as err:
        unbuffered = {**environment(tool, folder / "headers"), "PYTHONUNBUFFERED": "1"}
        began = time.monotonic()
        process = subprocess.Popen(
            tool.command(target, output), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=unbuffered
        )
        try:

            def shown() -> bool:
                subprocess.run(request, check=True, capture_output=True)
                return output.exists() and marker in output.read_bytes()

            wait_until(shown, f"{tool.name} to show something", 120)
            return time.monotonic() - began
        finally:
            process.send_signal(signal.SIGINT)
            _wait(process, again=tool.hard_of_hearing)
            output.unlink(missing_ok=True)
