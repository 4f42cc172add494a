"""The reading thread's priority: raised while the ring must be drained in time, ordinary for the rest."""

from __future__ import annotations

import contextlib
import os

RAISED = -15
"""Niceness of the thread that drains the ring."""


class Priority:
    """Raises and lowers the priority of the thread that made it; without the right to, it does nothing."""

    def __init__(self) -> None:
        self._ordinary = os.getpriority(os.PRIO_PROCESS, 0)
        self._current = self._ordinary

    def raise_(self) -> None:
        """Run before everything ordinary, among it the traced program."""
        self._set(min(RAISED, self._ordinary))

    def lower(self) -> None:
        """Take turns with everything else."""
        self._set(self._ordinary)

    def _set(self, niceness: int) -> None:
        # For Linux the "process" 0 is the calling thread.
        if niceness != self._current:
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, 0, niceness)
                self._current = niceness
