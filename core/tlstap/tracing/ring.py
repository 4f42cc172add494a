"""The BPF ring buffer, mapped into Python.

The map's descriptor is mapped twice: one page, writable, with the consumer's position; then, read-only, a
page with the producer's position followed by the data area, which the kernel maps twice in a row so that
every record is contiguous. A record has a header of 8 bytes, whose first word has bit 31 for busy, bit 30 for
discarded and the length in the low 30 bits; records are aligned to 8 bytes.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import platform
from collections.abc import Callable

from tlstap.errors import KernelError

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_LENGTH = (1 << 30) - 1
_HEADER_BYTES = 8
_BATCH_BYTES = 4 << 20
"""How much is copied before the space is given back to the kernel."""


def _fence() -> Callable[[], None]:
    """Order of memory accesses between the kernel and us: x86-64 keeps it, aarch64 needs a real fence."""
    if platform.machine() == "x86_64":
        return lambda: None
    name = ctypes.util.find_library("atomic") or "libatomic.so.1"
    try:
        function = ctypes.CDLL(name).atomic_thread_fence
    except (OSError, AttributeError):
        raise KernelError(f"{name} is missing; install it (Debian: libatomic1)") from None
    sequentially_consistent = 5
    return lambda: function(sequentially_consistent)


class Ring:
    """Reads a ring buffer map.

    :param fd: the map's descriptor.
    :param size: bytes of its data area, a power of two.
    """

    def __init__(self, fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = size
        self._mask = size - 1
        try:
            self._consumer_page = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            self._producer_pages = mmap.mmap(
                fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
            )
        except OSError as error:
            raise KernelError(f"the ring buffer can't be mapped: {error.strerror}") from None
        # 8-byte loads and stores, which a memoryview of this type makes in one access each.
        self._consumer = memoryview(self._consumer_page).cast("Q")
        self._producer = memoryview(self._producer_pages)[:page].cast("Q")
        self._area = memoryview(self._producer_pages)[page:]
        self._words = self._area.cast("I")
        self._fence = _fence()
        self.fd = fd

    @property
    def pending(self) -> int:
        """Bytes in the ring that were not read yet."""
        return self._producer[0] - self._consumer[0]

    def drain(self) -> list[bytes]:
        """Take every record that is ready now, in order, as bytes without the ring's own header."""
        records: list[bytes] = []
        end = self._producer[0]
        self._fence()
        while self._drain_batch(end, records):
            pass
        return records

    def _drain_batch(self, last: int, records: list[bytes]) -> bool:
        start = position = self._consumer[0]
        end = min(last, start + _BATCH_BYTES)
        places: list[int] = []
        lengths: list[int] = []
        words, mask = self._words, self._mask
        while position < end:
            place = position & mask
            header = words[place >> 2]
            if header & _BUSY:
                break
            length = header & _LENGTH
            if not header & _DISCARDED:
                places.append(place + _HEADER_BYTES)
                lengths.append(length)
            position += (length + _HEADER_BYTES + 7) & ~7
        if position == start:
            return False
        self._fence()
        area = self._area
        records += [
            bytes(area[place : place + length]) for place, length in zip(places, lengths, strict=True)
        ]
        self._fence()
        self._consumer[0] = position
        return True

    def close(self) -> None:
        """Unmap."""
        for view in (self._words, self._area, self._producer, self._consumer):
            view.release()
        self._producer_pages.close()
        self._consumer_page.close()
