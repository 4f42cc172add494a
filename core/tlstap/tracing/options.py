"""How to trace, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tlstap.discovery.given import GivenAddress
from tlstap.errors import UsageError
from tlstap.tracing.filters import Filters
from tlstap.tracing.kernel import Attachment, Sockets
from tlstap.tracing.layout import Counter

DEFAULT_BUFFER_BYTES = 16 << 20
LARGEST_BUFFER_BYTES = 1 << 30

Tell = Callable[[str], None]
"""Called with a line about what is found, or can't be traced, while tracing; from any thread."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to trace. `attachment` and `sockets` override what the kernel offers; `given` are addresses of
    functions that tlstap does not find itself; `files` are probed from the start, whether in use or not."""

    filters: Filters = field(default_factory=Filters)
    duration: float | None = None
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    command: Sequence[str] = ()
    attachment: Attachment | None = None
    sockets: Sequence[Sockets] | None = None
    given: Sequence[GivenAddress] = ()
    files: Sequence[str] = ()

    @property
    def given_files(self) -> list[str]:
        """The files for which addresses are given."""
        return list(dict.fromkeys(one.file for one in self.given))

    def check(self) -> None:
        """:raises UsageError: the size of the buffer is impossible."""
        size, page = self.buffer_bytes, os.sysconf("SC_PAGE_SIZE")
        if size < page or size > LARGEST_BUFFER_BYTES or size & (size - 1):
            raise UsageError(
                f"a buffer of {size} bytes can't be had; it must be a power of two from {page} (one page) "
                f"to {LARGEST_BUFFER_BYTES} (1G)"
            )


@dataclass(slots=True)
class Summary:
    """What a trace saw and lost."""

    records: int = 0
    lost_records: int = 0
    lost_bytes: int = 0
    unreadable_bytes: int = 0
    beyond_bound_bytes: int = 0
    nested_too_deep: int = 0
    implausible: int = 0
    left_out_records: int = 0
    """Captured, but not waited for at the end."""

    def take_counters(self, counters: Mapping[Counter, int]) -> None:
        """The kernel's counters, at the end."""
        self.lost_records = counters[Counter.LOST_EVENTS]
        self.lost_bytes = counters[Counter.LOST_BYTES]
        self.unreadable_bytes = counters[Counter.UNREADABLE]
        self.beyond_bound_bytes = counters[Counter.BEYOND_BOUND]
        self.nested_too_deep = counters[Counter.NESTED_TOO_DEEP]
        self.implausible = counters[Counter.IMPLAUSIBLE]
