"""Processes as the program in the kernel sees them: executions, ends, threads, late libraries."""

from __future__ import annotations

import threading
from typing import Any

from tests.bpf import own_library
from tests.bpf.own_library import Program, payload
from tests.bpf.own_traces import tracing
from tests.support.programs import Programs
from tests.support.wait import wait_until

from tlstap.records import Closed, Data, Lost, Opened, TraceRecord
from tlstap.tracing.filters import Filters
from tlstap.tracing.options import Options
from tlstap.tracing.session import Session


class Collected:
    """Records of a session that runs in a thread."""

    def __init__(self, session: Session) -> None:
        self.records: list[TraceRecord] = []
        self._session = session
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.records.extend(self._session.records())

    def of(self, kind: type) -> list[Any]:
        """The records of a kind that came so far."""
        return [record for record in list(self.records) if isinstance(record, kind)]

    def stop(self) -> None:
        self._session.stop()
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()


def test_a_program_that_executes_another_one_begins_anew(program: Program) -> None:
    """The same process id and the same handle, but another connection, without a byte of the old one's."""
    with tracing(program) as session:
        collected = Collected(session)
        program.do("write", 7, 100, 3)
        program.execute_again()
        wait_until(lambda: collected.of(Closed), "the end of the first program's connection")
        program.do("write", 7, 50, 1)
        wait_until(lambda: len(collected.of(Data)) == 4, "the second program's data")
        collected.stop()
    assert [(one.connection.id, one.offset, one.length) for one in collected.of(Data)] == [
        (1, 0, 100),
        (1, 100, 100),
        (1, 200, 100),
        (2, 0, 50),
    ]
    assert [one.connection.id for one in collected.of(Opened)] == [1, 2]
    assert [(one.written_bytes, one.written_lost) for one in collected.of(Closed)] == [(300, 0), (50, 0)]
    assert collected.of(Lost) == []


def test_the_end_of_a_process_ends_its_connections(programs: Programs) -> None:
    with own_library.run(programs.path("own_library")) as program, tracing(program) as session:
        collected = Collected(session)
        program.do("write", 7, 100, 1)
        program.kill()
        wait_until(lambda: collected.of(Closed), "the connection's end")
        collected.stop()
    (closed,) = collected.of(Closed)
    assert (closed.written_bytes, closed.written_lost) == (100, 0)


def test_a_process_goes_on_without_its_first_thread(program: Program) -> None:
    with tracing(program) as session:
        collected = Collected(session)
        program.do("write", 7, 100, 1)
        program.do("leave")
        program.do("write", 7, 50, 1)
        program.kill()
        wait_until(lambda: collected.of(Closed), "the connection's end")
        collected.stop()
    assert [(one.connection.id, one.offset) for one in collected.of(Data)] == [(1, 0), (1, 100)]
    first, second = (one.process for one in collected.of(Data))
    assert first.tid == first.pid == second.pid != second.tid
    assert [(one.written_bytes, one.written_lost) for one in collected.of(Closed)] == [(150, 0)]


def test_a_library_that_is_mapped_later(programs: Programs) -> None:
    """A process that starts while tracing is traced, by whatever name its file has."""
    name = programs.path("own_library").name
    options = Options(filters=Filters(comms=frozenset([name])))
    told: list[str] = []
    with Session(own_library.registry(), options, told.append) as session:
        assert "own" not in {image.library.name for image in session.coverage.images}
        collected = Collected(session)
        with own_library.run(programs.path("own_library")) as program:
            path = programs.path("own_library")
            wait_until(lambda: f"also tracing Own, {path}" in told, "the new program to be probed")
            program.do("write", 1, 5, 1)
            wait_until(lambda: collected.of(Data), "its data")
        collected.stop()
    assert [one.payload for one in collected.of(Data)] == [payload(5)]
