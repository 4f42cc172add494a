"""tlstap as users run it: a process of its own, told by arguments, ended by a signal."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.wait import wait_until
from tlstap import schema
from tlstap.schema import event_adapter

TLSTAP = Path(sys.executable).parent / "tlstap"
READY = "tlstap: tracing"


def read_events(path: Path) -> list[schema.Event]:
    """The events of a file that `-f json -o` wrote; every line must be a valid event."""
    with path.open("rb") as file:
        return [event_adapter.validate_json(line) for line in file]


@dataclass
class Tracer:
    """A running tlstap. `events` and `seconds_to_stop` are there once it has ended.

    `has_events`: the output is JSON lines.
    """

    process: subprocess.Popen[str]
    output: Path
    messages: list[str] = field(default_factory=list)
    events: list[schema.Event] = field(default_factory=list)
    stop_signal: signal.Signals = signal.SIGTERM
    seconds_to_stop: float = 0.0
    has_events: bool = True

    def wait_ready(self) -> None:
        """Wait for the line that says what is traced; all later traffic is seen."""

        def ready() -> bool:
            if any(line.startswith(READY) for line in self.messages):
                return True
            assert self.process.poll() is None, f"tlstap ended: {self.messages}"
            return False

        wait_until(ready, "tlstap to be ready", 60)

    def wait_traced(self, file: Path) -> None:
        """Wait for the line that says that the TLS library of this file is traced; it may come later."""
        traced = re.compile(rf"tlstap: (also tracing )?[^:,]+, {re.escape(str(file))}(?![^ ,;:(])")

        def seen() -> bool:
            assert self.process.poll() is None, f"tlstap ended: {self.messages}"
            return any(traced.match(line) for line in self.messages)

        try:
            wait_until(seen, f"tlstap to trace {file}", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says: {self.messages}") from None

    def read_messages(self) -> None:
        """Collect stderr until it ends (runs in a thread)."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.messages.append(line.rstrip("\n"))

    def stop(self, seconds: float = 60.0) -> None:
        """End it in order: exit status 0, no traceback, every line of the output valid."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
        began = time.monotonic()
        status = self.process.wait(timeout=seconds)
        self.seconds_to_stop = time.monotonic() - began
        assert status == 0, f"tlstap's exit status is {status}: {self.messages}"
        assert not any("Traceback" in line for line in self.messages), self.messages
        if self.has_events:
            self.events = read_events(self.output)


@contextlib.contextmanager
def run_tlstap(
    output: Path,
    *arguments: str | int | Path,
    stop: signal.Signals = signal.SIGTERM,
    output_format: str = "json",
    has_events: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Tracer]:
    """Run `tlstap trace -f json -o OUTPUT ARGUMENTS` around the block, which starts when it is ready.

    :param output_format: instead of json.
    :param has_events: it writes JSON lines, too.
    """
    command = [TLSTAP, "trace", "-f", output_format, "-o", output, *arguments]
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    tracer = Tracer(process, output, stop_signal=stop, has_events=has_events)
    reader = threading.Thread(target=tracer.read_messages, daemon=True)
    reader.start()
    try:
        tracer.wait_ready()
        yield tracer
        tracer.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(timeout=10)
        if process.stderr is not None:
            process.stderr.close()
