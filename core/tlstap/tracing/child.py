"""The command that is traced: started but held back until the probes are in place."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Sequence

from tlstap.errors import TlstapError


class Child:
    """A process that executes a command once `release` is called.

    :raises TlstapError: there is no such command.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        if shutil.which(argv[0]) is None:
            raise TlstapError(f"{argv[0]}: no such command, or not executable; give its path or check PATH")
        self._argv = list(argv)
        gate, self._gate = os.pipe2(os.O_CLOEXEC)
        self._failure, failure = os.pipe2(os.O_CLOEXEC)
        self._held_back = True
        self.pid = os.fork()
        if self.pid == 0:
            self._become_command(gate, failure)
        os.close(gate)
        os.close(failure)
        self.pidfd = os.pidfd_open(self.pid)
        self.status: int | None = None
        """Exit status, or 128 + the signal that ended it, as shells have it; None while it runs."""

    def _become_command(self, gate: int, failure: int) -> None:
        try:
            os.close(self._gate)
            os.close(self._failure)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            if os.read(gate, 1):
                os.execvp(self._argv[0], self._argv)
        except OSError as error:
            os.write(failure, (error.strerror or str(error)).encode())
        finally:
            os._exit(127)

    def release(self) -> None:
        """Let it run.

        :raises TlstapError: the kernel can't execute it.
        """
        os.write(self._gate, b"1")
        problem = os.read(self._failure, 4096).decode(errors="replace")
        self._close_pipes()
        if problem:
            self.wait()
            raise TlstapError(f"{self._argv[0]}: {problem}")

    def poll(self) -> bool:
        """Whether it has ended; its status is then known."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._ended(status)
        return self.status is not None

    def wait(self) -> None:
        """Until it has ended."""
        if self.status is None:
            self._ended(os.waitpid(self.pid, 0)[1])

    def _ended(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self.status = code if code >= 0 else 128 - code

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if not self.poll():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def terminate(self) -> None:
        """Ask it to end, if it still runs."""
        self.send(signal.SIGTERM)

    def close(self) -> None:
        """Let go of it; a command that was never released ends."""
        if self._held_back:
            self._close_pipes()
            self.wait()
        os.close(self.pidfd)

    def _close_pipes(self) -> None:
        self._held_back = False
        os.close(self._gate)
        os.close(self._failure)
