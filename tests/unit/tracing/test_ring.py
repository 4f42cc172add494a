"""The ring buffer, played by a file in memory that is laid out like the kernel's."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from tlstap.errors import KernelError
from tlstap.tracing import reader, ring
from tlstap.tracing.reader import Reader
from tlstap.tracing.ring import Ring

PAGE = mmap.PAGESIZE
BUSY = 1 << 31
DISCARDED = 1 << 30


class Kernel:
    """The other side: reserves and submits records. The data area's second copy is kept equal by hand."""

    def __init__(self, size: int = PAGE) -> None:
        self.size = size
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * size)
        self._pages = mmap.mmap(self.fd, 2 * PAGE + 2 * size)
        self.produced = 0

    @property
    def consumed(self) -> int:
        return int(struct.unpack_from("=Q", self._pages)[0])

    def start_at(self, position: int) -> None:
        """As after much traffic."""
        self.produced = position
        struct.pack_into("=Q", self._pages, 0, position)
        struct.pack_into("=Q", self._pages, PAGE, position)

    def _put(self, position: int, data: bytes) -> None:
        for place, byte in enumerate(data, start=position % self.size):
            for copy in (place % self.size, place % self.size + self.size):
                self._pages[2 * PAGE + copy] = byte

    def reserve(self, payload: bytes, flags: int = BUSY) -> int:
        """Reserve a record, with its payload already in place; where its header is."""
        position = self.produced
        room = (len(payload) + 8 + 7) // 8 * 8
        assert position + room - self.consumed <= self.size, "the ring is full"
        self._put(position, struct.pack("=II", len(payload) | flags, 0xDEAD) + payload)
        self.produced += room
        struct.pack_into("=Q", self._pages, PAGE, self.produced)
        return position

    def submit(self, position: int, length: int, flags: int = 0) -> None:
        self._put(position, struct.pack("=I", length | flags))

    def write(self, payload: bytes, flags: int = 0) -> None:
        self.submit(self.reserve(payload), len(payload), flags)

    def close(self) -> None:
        self._pages.close()
        os.close(self.fd)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


@pytest.fixture
def the_ring(kernel: Kernel) -> Iterator[Ring]:
    made = Ring(kernel.fd, kernel.size)
    yield made
    made.close()


def test_records_in_order_and_their_space_given_back(kernel: Kernel, the_ring: Ring) -> None:
    payloads = [b"", b"1", b"1234567", b"12345678", b"123456789"]
    for payload in payloads:
        kernel.write(payload)
    assert the_ring.pending == kernel.produced == 8 + 16 + 16 + 16 + 24
    assert the_ring.drain() == payloads
    assert kernel.consumed == kernel.produced
    assert the_ring.pending == 0
    assert the_ring.drain() == []


def test_a_record_that_is_being_written_stops_the_reader(kernel: Kernel, the_ring: Ring) -> None:
    kernel.write(b"first")
    position = kernel.reserve(b"second")
    kernel.write(b"third")
    assert the_ring.drain() == [b"first"]
    assert kernel.consumed == position
    assert the_ring.drain() == []
    kernel.submit(position, len(b"second"))
    assert the_ring.drain() == [b"second", b"third"]


def test_a_discarded_record_is_skipped(kernel: Kernel, the_ring: Ring) -> None:
    kernel.write(b"first")
    kernel.write(b"discarded", DISCARDED)
    kernel.write(b"third")
    assert the_ring.drain() == [b"first", b"third"]
    kernel.write(b"discarded", DISCARDED)
    assert the_ring.drain() == []
    assert kernel.consumed == kernel.produced


def test_a_record_that_goes_round_the_end_is_whole(kernel: Kernel, the_ring: Ring) -> None:
    payload = bytes(range(256)) * 4
    for position in (PAGE - 8, 2 * PAGE - 8, PAGE - 16, PAGE - 512, 7 * PAGE - 8, (1 << 40) + PAGE - 8):
        kernel.start_at(position)
        kernel.write(payload)
        kernel.write(b"next")
        assert the_ring.drain() == [payload, b"next"]


def test_a_full_ring(kernel: Kernel, the_ring: Ring) -> None:
    for turn in range(5):
        payloads = [bytes([turn, number]) * 124 for number in range(PAGE // 256)]
        for payload in payloads:
            kernel.write(payload)
        assert the_ring.pending == PAGE
        assert the_ring.drain() == payloads


def test_space_is_given_back_in_batches(
    kernel: Kernel, the_ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "_BATCH_BYTES", 100)
    payloads = [bytes([number]) * 40 for number in range(20)]
    for payload in payloads:
        kernel.write(payload)
    consumed: list[int] = []
    monkeypatch.setattr(the_ring, "_fence", lambda: consumed.append(kernel.consumed))
    assert the_ring.drain() == payloads
    batches = sorted(set(consumed))
    assert batches[:3] == [0, 144, 288], "three records of 48 bytes each time"
    assert kernel.consumed == kernel.produced


def test_records_outlive_the_ring(kernel: Kernel) -> None:
    made = Ring(kernel.fd, kernel.size)
    kernel.write(b"kept")
    records = made.drain()
    kernel.start_at(0)
    kernel.write(b"over")
    made.close()
    assert records == [b"kept"]


def test_a_map_that_cannot_be_mapped() -> None:
    readable, writable = os.pipe()
    with pytest.raises(KernelError, match="can't be mapped"):
        Ring(readable, PAGE)
    os.close(readable)
    os.close(writable)


# ---- the reader ----


class Armed(list[int]):
    """How many bytes were pending each time that BPF was asked to wake the reader."""


@pytest.fixture
def armed() -> Armed:
    return Armed()


MakeReader = Callable[..., Reader]


@pytest.fixture
def make_reader(armed: Armed, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeReader]:
    """Makes a reader of a ring; a pipe stands for the map where it is polled."""
    made: list[Reader] = []

    def make(
        kernel: Kernel, limit: int = reader.BACKLOG_BYTES, arm: Callable[[], None] | None = None
    ) -> Reader:
        of = Ring(kernel.fd, kernel.size)
        readable, _ = os.pipe()
        of.fd = readable
        made.append(Reader(of, arm or (lambda: armed.append(of.pending)), limit))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_backlog_keeps_the_order(kernel: Kernel, make_reader: MakeReader) -> None:
    one = make_reader(kernel)
    kernel.write(b"a")
    assert one.drain() == [b"a"]
    kernel.write(b"b")
    assert one.drain() == [b"b"]
    assert list(one.backlog) == [b"a", b"b"]
    assert (one.next(), one.next()) == (b"a", b"b")
    assert not one.backlog


def test_the_backlog_is_bounded(kernel: Kernel, make_reader: MakeReader) -> None:
    """Beyond the bound records stay in the ring, until some were taken."""
    one = make_reader(kernel, limit=100)
    kernel.write(b"x" * 60)
    kernel.write(b"y" * 60)
    assert len(one.drain()) == 2
    kernel.write(b"z" * 10)
    assert one.drain() == []
    assert kernel.consumed < kernel.produced
    one.next()
    assert one.drain() == [b"z" * 10]


def test_it_sleeps_only_after_some_idle_ticks_and_is_then_woken(
    kernel: Kernel, make_reader: MakeReader, armed: Armed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(reader, "SLEEP_SECONDS", 0.0)
    one = make_reader(kernel)
    for _ in range(reader.IDLE_TICKS):
        one.wait(1)
    assert armed == []
    one.wait(1)
    assert armed == [0]
    kernel.write(b"traffic")
    one.drain()
    for _ in range(reader.IDLE_TICKS):
        one.wait(1)
    assert armed == [0]


def test_what_comes_while_it_lies_down_keeps_it_awake(
    kernel: Kernel, make_reader: MakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BPF looked whether to wake the reader just before it was asked to."""
    monkeypatch.setattr(reader, "IDLE_TICKS", 0)
    monkeypatch.setattr(reader, "SLEEP_SECONDS", 60)
    one = make_reader(kernel, arm=lambda: kernel.write(b"just now"))
    began = time.monotonic()
    one.wait(60)
    assert time.monotonic() - began < 30
    assert one.drain() == [b"just now"]


def test_wake_ends_a_long_wait(
    kernel: Kernel, make_reader: MakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "IDLE_TICKS", 0)
    monkeypatch.setattr(reader, "SLEEP_SECONDS", 60)
    readers: list[Reader] = []
    one = make_reader(kernel, arm=lambda: readers[0].wake())
    readers.append(one)
    began = time.monotonic()
    one.wait(60)
    assert time.monotonic() - began < 30


def test_a_watched_descriptor_ends_a_wait(
    kernel: Kernel, make_reader: MakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "IDLE_TICKS", 0)
    monkeypatch.setattr(reader, "SLEEP_SECONDS", 60)
    one = make_reader(kernel)
    readable, writable = os.pipe()
    one.watch(readable)
    os.write(writable, b"x")
    began = time.monotonic()
    one.wait(60)
    assert time.monotonic() - began < 30
    os.close(readable)
    os.close(writable)


def test_a_wait_is_no_longer_than_asked(kernel: Kernel, make_reader: MakeReader) -> None:
    one = make_reader(kernel)
    began = time.monotonic()
    for _ in range(2 * reader.IDLE_TICKS):
        one.wait(0.0)
    assert time.monotonic() - began < 2
