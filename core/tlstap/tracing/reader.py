"""Takes records from the ring in time, and holds them until they are looked at."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable

from tlstap.tracing.ring import Ring

TICK_SECONDS = 0.008
"""While there is traffic the ring is looked at this often; BPF does not wake the reader for each record."""

IDLE_TICKS = 12
"""So many ticks without a record, and the reader goes to sleep until BPF wakes it."""

SLEEP_SECONDS = 0.5

BACKLOG_BYTES = 256 << 20
"""Bound of what is held. Beyond it records stay in the ring, and are lost there, counted, once it is full."""


class Reader:
    """Drains the ring into a backlog.

    `backlog` has the records, oldest first, and `held` is their size in bytes.

    :param arm: asks BPF to wake the reader with the next record.
    """

    def __init__(self, ring: Ring, arm: Callable[[], None], backlog_bytes: int = BACKLOG_BYTES) -> None:
        self.backlog: deque[bytes] = deque()
        self._ring = ring
        self._arm = arm
        self._limit = backlog_bytes
        self.held = 0
        self._idle = 0
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        # Edge-triggered: a ring that is not empty is no reason to wake before the tick.
        self._epoll.register(ring.fd, select.EPOLLIN | select.EPOLLET)
        self._epoll.register(self._wake_fd, select.EPOLLIN)

    def watch(self, fd: int) -> None:
        """Wake up also when this descriptor becomes readable."""
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def wake(self) -> None:
        """End a `wait`; for other threads and signal handlers."""
        os.eventfd_write(self._wake_fd, 1)

    def drain(self) -> list[bytes]:
        """Take what is in the ring into the backlog; the new records."""
        if self.held >= self._limit:
            return []
        records = self._ring.drain()
        if records:
            self._idle = 0
            self.backlog.extend(records)
            self.held += sum(map(len, records))
        return records

    def next(self) -> bytes:
        """Take the oldest record out of the backlog, which must not be empty."""
        record = self.backlog.popleft()
        self.held -= len(record)
        return record

    def wait(self, at_most: float) -> None:
        """Sleep until there may be records: a tick, or longer where nothing happens."""
        self._idle += 1
        if self._idle <= IDLE_TICKS:
            self._epoll.poll(min(TICK_SECONDS, at_most))
            return
        self._arm()
        if not self._ring.pending:
            self._epoll.poll(min(SLEEP_SECONDS, at_most))

    def close(self) -> None:
        """Close what was opened, the ring too."""
        self._epoll.close()
        os.close(self._wake_fd)
        self._ring.close()
