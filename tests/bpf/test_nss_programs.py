"""Small programs that use NSS in every way that matters, through its own functions and through NSPR's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.fixtures import RunTlstap, system_library
from tests.support.nss import copied_libraries, make_database, thunderbird, without_unwind_table
from tests.support.programs import Programs, Running
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, losses
from tests.support.wait import wait_until

from tlstap import schema

Ports = tuple[int | None, int | None]
"""Local and remote."""

OPERATIONS = ("read", "recv", "peek", "writev", "file", "large", "plain", "end")


@dataclass
class Case:
    """Runs a program of nss_pair.h under tlstap; afterwards its own records and what was traced."""

    tlstap: RunTlstap
    programs: Programs
    records: Path
    database: Path
    libraries: Path | None
    tracer: Tracer | None = None
    output: list[str] | None = None
    pid: int = 0

    def trace(self, name: str, *own: str | int) -> list[schema.Event]:
        """Run it with its own arguments; the events."""
        running = self.start(name, *own)
        with self.tlstap("-p", running.pid) as self.tracer:
            running.go()
            self.output = running.finish()
        return self.tracer.events

    def start(self, name: str, *own: str | int) -> Running:
        """Start it with its own arguments."""
        command = [str(part) for part in (self.programs.path(name), self.records, self.database, *own)]
        environment = {"LD_LIBRARY_PATH": str(self.libraries)} if self.libraries else None
        running = c_programs.start(command, environment)
        self.pid = running.pid
        return running

    def run(self, name: str, *own: str | int) -> list[Traced]:
        """Run it; the traced connections: exactly the recorded ones, each byte."""
        events = self.trace(name, *own)
        traced = connections(events)
        recorded = c_programs.recorded(self.records)
        ports = self.ports()
        seen = Counter((each.ports, each.read, each.written) for each in traced)
        expected = Counter((ports[name], each.read, each.written) for name, each in recorded.items())
        assert _sizes(seen) == _sizes(expected)
        assert seen == expected
        assert losses(events) == []
        assert {each.process.pid for each in traced} == {self.pid}
        assert not any(each.connection.inferred for each in traced)
        return traced

    def ports(self) -> dict[str, Ports]:
        """Of each end by its name, as the program printed them."""
        assert self.output is not None
        lines = [line.split() for line in self.output]
        return {words[0]: (int(words[1]), int(words[2])) for words in lines if len(words) == 3}

    def handshakes(self) -> list[bool]:
        """Of each handshake event, whether it succeeded."""
        assert self.tracer is not None
        return [event.ok for event in self.tracer.events if isinstance(event, schema.HandshakeEvent)]


def _sizes(streams: Counter[tuple[Ports, bytes, bytes]]) -> list[tuple[Ports, int, int]]:
    return sorted((ports, len(read), len(written)) for ports, read, written in streams.elements())


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Path:
    """With the server's certificate and key."""
    return make_database(tmp_path_factory.mktemp("nss") / "database", certificates.authority, certificates)


@pytest.fixture
def case(tlstap: RunTlstap, programs: Programs, records: Path, database: Path) -> Case:
    return Case(tlstap, programs, records, database, None)


@pytest.fixture
def fallback(tlstap: RunTlstap, programs: Programs, records: Path, database: Path, tmp_path: Path) -> Case:
    """With a libssl3 whose functions can't be found, and an NSPR of the same folder."""
    original = system_library("libssl3.so")
    folder = copied_libraries(original.parent, tmp_path / "libraries")
    without_unwind_table(original, folder / "libssl3.so")
    return Case(tlstap, programs, records, database, folder)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_of_another_build(
    tlstap: RunTlstap, programs: Programs, records: Path, database: Path, tmp_path: Path, operation: str
) -> None:
    """Thunderbird's NSS: by clang, which has put ssl_Send into ssl_WriteV."""
    libraries = copied_libraries(thunderbird(), tmp_path / "libraries")
    traced = Case(tlstap, programs, records, database, libraries).run("nss_calls", "1.3", "read", operation)
    assert {each.library.path for each in traced} == {str(libraries / "libssl3.so")}
    functions = {event.function for each in traced for event in each.events}
    assert ("ssl_WriteV" in functions) == (operation in ("writev", "file"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(case: Case, operation: str) -> None:
    # Something has to be read in each case, or there would be no connection.
    case.run("nss_calls", "1.3", "read", operation)
    assert case.handshakes() == [True, True]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_connection(case: Case, version: str) -> None:
    traced = case.run("nss_calls", version, *OPERATIONS)
    assert {each.connection.role for each in traced} == {"client", "server"}
    for each in traced:
        assert each.library.name == "nss"
        functions = {event.function for event in each.events}
        assert functions <= {"ssl_Read", "ssl_Recv", "ssl_Write", "ssl_Send", "ssl_WriteV"}
    [client] = [each for each in traced if each.connection.role == "client"]
    assert client.connection.sni == "localhost"
    # Every file of every process goes through NSPR, so it is not probed where there is no need.
    assert case.tracer is not None
    assert not any("libnspr4" in line for line in case.tracer.messages), case.tracer.messages


def test_life(case: Case) -> None:
    """Each connection begins, ends its handshake, moves data and ends, once."""
    traced = case.run("nss_calls", "1.3", "read", "large", "end")
    assert case.tracer is not None
    events = [event for event in case.tracer.events if not isinstance(event, schema.LostEvent)]
    for each in traced:
        life = [event for event in events if event.connection.id == each.id]
        kinds = [event.kind for event in life]
        assert kinds[0] == "open"
        assert kinds[1] == "handshake"
        assert kinds[-1] == "close"
        assert set(kinds[2:-1]) == {"data"}
        first, last = life[0], life[-1]
        assert isinstance(first, schema.OpenEvent)
        assert first.from_start
        assert isinstance(last, schema.CloseEvent)
        assert (last.read_bytes, last.written_bytes) == (len(each.read), len(each.written))
        assert (last.read_lost, last.written_lost) == (0, 0)
    assert len(events) == sum(len(each.events) for each in traced) + 3 * 2


def wait_for_line(running: Running, wanted: str) -> None:
    """Read what the program prints up to this line."""
    while (line := running.line()) != wanted:
        assert line, "the program ended"


def test_older_connection(case: Case) -> None:
    """One that is older than the trace is seen from its next bytes on."""
    running = case.start("nss_calls", "1.3", "read", "wait", "recv", "read")
    running.go()
    wait_for_line(running, "waiting")
    with case.tlstap("-p", running.pid) as tracer:
        running.go()
        wait_for_line(running, "closed")
        running.finish()
    written, answered = b"written, then read", b"sent, then received" + b"written and read the other way"

    found = connections(tracer.events)
    assert sorted((each.read, each.written) for each in found) == [(answered, written), (written, answered)]
    opened = [event for event in tracer.events if isinstance(event, schema.OpenEvent)]
    assert [event.from_start for event in opened] == [False, False]
    assert losses(tracer.events) == []
    assert None not in found[0].ports
    assert found[0].ports == tuple(reversed(found[1].ports))


def check_end(case: Case) -> None:
    """A connection ends when it is closed, not only with its process."""
    running = case.start("nss_calls", "1.3", "read")
    with case.tlstap("-p", running.pid) as tracer:
        running.go()
        wait_for_line(running, "closed")
        wait_until(lambda: tracer.output.read_bytes().count(b'"kind":"close"') == 2, "the ends")
        assert running.process.poll() is None
        running.finish()
    closed = [event for event in tracer.events if isinstance(event, schema.CloseEvent)]
    assert sorted((event.read_bytes, event.written_bytes) for event in closed) == [(18, 30), (30, 18)]


def test_end(case: Case) -> None:
    check_end(case)


def test_fallback_end(fallback: Case) -> None:
    check_end(fallback)


def test_layer_on_top(case: Case) -> None:
    traced = case.run("nss_layers", 6)
    assert len(traced) == 12
    assert case.handshakes() == [True] * 12
    assert case.output is not None
    [same] = [int(line.split()[1]) for line in case.output if line.startswith("same")]
    assert same > 0, "no socket was at the place of an earlier one, so this proves less than it should"


def test_both_directions_at_once(case: Case) -> None:
    traced = case.run("nss_duplex", 50, 20000)
    for each in traced:
        tids = {direction: {e.process.tid for e in each.events if e.direction == direction} for direction in
                ("read", "write")}  # fmt: skip
        assert len(tids["read"]) == len(tids["write"]) == 1
        assert tids["read"] != tids["write"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_fallback_operation(fallback: Case, operation: str) -> None:
    """Files, pipes and plain sockets go through the very same functions, and are never shown."""
    traced = fallback.run("nss_calls", "1.3", "read", operation)
    functions = {event.function for each in traced for event in each.events}
    assert {"PR_Read", "PR_Write"} <= functions <= {"PR_Read", "PR_Recv", "PR_Write", "PR_Send", "PR_Writev"}
    assert ("PR_Writev" in functions) == (operation in ("writev", "file"))


def test_fallback_layer_on_top(fallback: Case) -> None:
    assert len(fallback.run("nss_layers", 6)) == 12


def test_fallback_both_directions_at_once(fallback: Case) -> None:
    assert len(fallback.run("nss_duplex", 50, 20000)) == 2
