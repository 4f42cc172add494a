"""Probes that were found by signature: what proves them, what refutes them, what is shown meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.bpf import own_library, trial_library
from tests.bpf.own_library import Program, payload
from tests.support.programs import Programs
from tests.support.wait import wait_until

from tlstap.library import Library
from tlstap.records import Data, TraceRecord
from tlstap.tracing import layout
from tlstap.tracing.filters import Filters
from tlstap.tracing.kernel import Attachment, Sockets
from tlstap.tracing.options import Options
from tlstap.tracing.session import Session
from tlstap.tracing.trial import Trials

BOTH = pytest.mark.parametrize("attachment", list(Attachment), ids=lambda one: one.name.lower())
SIZE = 300
RECORD = 22


@pytest.fixture
def program(programs: Programs) -> Iterator[Program]:
    """A program with functions that may be a TLS library's."""
    with own_library.run(programs.path("trial")) as running:
        yield running


class Trace:
    """A trace of the program. `messages` are what the user was told."""

    def __init__(self, program: Program, library: Library, **options: Any) -> None:
        self.messages: list[str] = []
        chosen = Options(filters=Filters(pids=frozenset([program.pid])), **options)
        self.session = Session(trial_library.registry(library), chosen, self.messages.append)

    def stop(self) -> bool:
        """For a condition on the last record that is wanted."""
        self.session.stop()
        return True

    def rest(self) -> list[TraceRecord]:
        """Stop, and take everything that is shown."""
        self.session.stop()
        return list(self.session.records())


@contextmanager
def tracing(program: Program, library: Library, **options: Any) -> Iterator[Trace]:
    trace = Trace(program, library, **options)
    with trace.session:
        yield trace


def shown(records: Iterable[TraceRecord]) -> list[tuple[str, str, bytes]]:
    """(function, direction, bytes) of the data."""
    return [(one.function, one.direction, bytes(one.payload)) for one in records if isinstance(one, Data)]


def is_probed(program: Program, function: str) -> bool:
    """Whether a breakpoint is in the function."""
    return program.probed(f"where {function}")


@BOTH
def test_calls_that_agree_with_the_socket_are_shown_from_the_first_on(
    program: Program, attachment: Attachment
) -> None:
    with tracing(program, trial_library.library(), attachment=attachment) as trace:
        program.do("write", SIZE, 1)
        program.do("read", SIZE, 2)
        records = trace.rest()
    data = payload(SIZE)
    assert shown(records) == [
        ("located_write", "write", data),
        ("located_read", "read", data),
        ("located_read", "read", data),
    ]
    assert trace.messages == []


@BOTH
def test_what_reads_more_than_the_process_receives_is_refuted(
    program: Program, attachment: Attachment
) -> None:
    library = trial_library.library(read="located_read_raw")
    with tracing(program, library, attachment=attachment) as trace:
        # The connection is older than the trace: bytes may have waited, a megabyte at most.
        program.do("read_raw", 60_000, 64)
        records = trace.rest()
    assert shown(records) == []
    (message,) = trace.messages
    assert "Trial, " in message and "t-trial" in message
    assert "its probes are withdrawn" in message and "located_read_raw does not behave like it" in message


def test_withdrawn_probes_are_gone_while_the_trace_goes_on(program: Program) -> None:
    with tracing(program, trial_library.library(read="located_read_more")) as trace:
        assert is_probed(program, "read_more") and is_probed(program, "write")
        program.do("read_more", SIZE, 1)
        deadline = time.monotonic() + 20
        records = list(trace.session.records(idle=lambda: stop_when_withdrawn(program, trace, deadline)))
    assert shown(records) == []
    assert len(trace.messages) == 1
    assert "asked for 300 bytes, it moved more" in trace.messages[0]


def stop_when(done: bool, trace: Trace, deadline: float) -> None:
    """Called when there is nothing to read."""
    if done or time.monotonic() > deadline:
        trace.session.stop()


def stop_when_withdrawn(program: Program, trace: Trace, deadline: float) -> None:
    """Called when there is nothing to read: the records went through."""
    stop_when(False, trace, deadline)
    if trace.messages:
        wait_until(lambda: not is_probed(program, "read_more"), "the probe on the reader to be gone")
        wait_until(lambda: not is_probed(program, "write"), "the probe on the writer to be gone")
        program.do("write", SIZE, 1)
        trace.session.stop()


@pytest.mark.parametrize(
    ("function", "direction", "words"),
    [
        ("read_nowhere", "read", "it read 900 bytes, and the process has received 0"),
        ("write_nowhere", "write", "it wrote 900 bytes, and the process has sent 0"),
        ("read_bad", "read", "asked for 300 bytes, it moved 300"),
        ("read_more", "read", "asked for 300 bytes, it moved more"),
    ],
)
def test_what_can_not_be_is_refuted_and_not_shown(
    program: Program, function: str, direction: str, words: str
) -> None:
    name = f"located_{function}"
    reads = direction == "read"
    library = trial_library.library(read=name) if reads else trial_library.library(write=name)
    with tracing(program, library) as trace:
        program.do(function, SIZE, 3)
        records = trace.rest()
    assert shown(records) == []
    (message,) = trace.messages
    assert words in message and f"located_{function} does not behave like it" in message


@BOTH
def test_what_is_sent_after_the_call_proves_it(program: Program, attachment: Attachment) -> None:
    """As where TLS goes through memory buffers."""
    library = trial_library.library(write="located_write_later", read="located_read_earlier")
    with tracing(program, library, attachment=attachment) as trace:
        program.do("write_later", SIZE, 1)
        (first,) = (one for one in trace.session.records() if isinstance(one, Data) and trace.stop())
        assert shown([first]) == [("located_write_later", "write", payload(SIZE))]
    assert trace.messages == []


def test_what_was_received_before_the_call_proves_it(program: Program) -> None:
    library = trial_library.library(write="located_write_later", read="located_read_earlier")
    with tracing(program, library) as trace:
        program.do("write_later", SIZE, 1)
        program.do("read_earlier", SIZE, 1)
        records = trace.rest()
    data = payload(SIZE)
    assert shown(records) == [("located_write_later", "write", data), ("located_read_earlier", "read", data)]


def test_tls_inside_tls_refutes_nothing(program: Program) -> None:
    """Each connection's plaintext is counted by itself: the inner one's record is the outer one's."""
    with tracing(program, trial_library.two_readers("located_read", "located_read_twice")) as trace:
        program.do("read_twice", SIZE, 5)
        program.do("write", SIZE, 1)
        records = trace.rest()
    data, inner = payload(SIZE), payload(SIZE + RECORD)
    both = [("located_read", "read", inner), ("located_read_twice", "read", data)]
    assert shown(records) == [*both * 5, ("located_write", "write", data)]
    assert trace.messages == []


@BOTH
def test_only_calls_from_the_places_that_count_are_shown(program: Program, attachment: Attachment) -> None:
    """A library's function was inlined into some of its callers; others use what remains differently."""
    library = trial_library.library(read="located_peek", only_from=True)
    with tracing(program, library, attachment=attachment) as trace:
        program.do("look", SIZE, 2)
        program.do("take", SIZE + 1, 1)
        program.do("peek", SIZE + 2, 1)
        program.do("take", SIZE + 3, 1)
        records = trace.rest()
    sizes = [len(data) for function, _, data in shown(records) if function == "located_peek"]
    assert sizes == [SIZE + 1, SIZE + 3]
    assert trace.messages == []


def test_data_waits_for_the_proof_in_its_order(program: Program) -> None:
    """A write that nothing has proven yet holds back the read behind it."""
    library = trial_library.library(write="located_write_nowhere")
    with tracing(program, library) as trace:
        program.do("read", SIZE, 1)
        program.do("write_nowhere", SIZE, 1)
        program.do("read", SIZE, 1)
        records = trace.rest()
    # The first read proves the reader; the writer is refuted at the end, and with it the library in the file.
    assert shown(records) == [("located_read", "read", payload(SIZE))]
    assert "it wrote 300 bytes, and the process has sent 0" in trace.messages[0]


def test_where_nothing_can_prove_them_they_are_not_attached(program: Program) -> None:
    with tracing(program, trial_library.library(), sockets=[Sockets.SYSCALL]) as trace:
        (problem,) = [one for one in trace.session.coverage.problems if "t-trial" in one]
        assert "nothing can prove them right on this kernel" in problem
        assert not is_probed(program, "write")
        program.do("write", SIZE, 1)
        assert shown(trace.rest()) == []


def test_after_enough_calls_no_more_evidence_is_asked_for(program: Program) -> None:
    with tracing(program, trial_library.library()) as trace:
        for _ in range(3):
            program.do("write", SIZE, 40)
            program.do("read", SIZE, 40)
        records = trace.rest()
        kinds = len(list(trace.session.engine.trials()))
    assert [size for _, _, data in shown(records) for size in [len(data)]] == [SIZE] * 240
    assert kinds == 0


@BOTH
def test_the_evidence_is_what_the_sockets_moved(
    program: Program, attachment: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    judge = Trials._judge

    def noting(trials: Trials, raw: bytes) -> None:
        seen.append(layout.EVIDENCE.unpack_from(raw)[13:])
        judge(trials, raw)

    monkeypatch.setattr(Trials, "_judge", noting)
    with tracing(program, trial_library.library(), attachment=attachment) as trace:
        program.do("write", SIZE, 1)
        program.do("read", SIZE + 1, 1)
        program.do("write", SIZE + 2, 1)
        trace.rest()
    first, second, third = (SIZE + more + RECORD for more in range(3))
    # Asked, moved; received and sent in the call; received and sent by the process; direction, plausible.
    assert seen == [
        (SIZE, SIZE, 0, first, 0, first, 1, 1),
        (SIZE + 1, SIZE + 1, second, 0, second, first, 0, 1),
        (SIZE + 2, SIZE + 2, 0, third, second, first + third, 1, 1),
    ]
