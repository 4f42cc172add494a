"""A C program, run under tlstap: what it recorded itself, and what was traced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.debian import Unpacked
from tests.support.fixtures import RunTlstap
from tests.support.programs import Programs, Streams
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, losses


class Case:
    """Runs a program under tlstap; afterwards its own records and what was traced."""

    def __init__(
        self, tlstap: RunTlstap, certificates: Certificates, programs: Programs, records: Path
    ) -> None:
        self._tlstap = tlstap
        self._certificates = certificates
        self._programs = programs
        self._records = records
        self.output: list[str] = []
        self.tracer: Tracer
        self.pid = 0

    def run(
        self,
        name: str,
        *own: str | int,
        by_comm: bool = False,
        options: Sequence[str] = (),
        libraries: Unpacked | None = None,
    ) -> None:
        """Run the program with its own arguments, traced by pid or by comm (which its children share).

        :param options: more of tlstap's.
        :param libraries: run it with these instead of the system's.
        """
        path = self._programs.path(name)
        arguments = c_programs.arguments(self._records, self._certificates, *own)
        running = c_programs.start(libraries.command(path, *arguments) if libraries else [path, *arguments])
        self.pid = running.pid
        filters = ("-c", path.name) if by_comm else ("-p", running.pid)
        with self._tlstap(*filters, *options) as self.tracer:
            running.go()
            self.output = running.finish()

    @property
    def recorded(self) -> dict[str, Streams]:
        """What each end moved; ends that moved nothing are left out."""
        found = c_programs.recorded(self._records)
        return {name: streams for name, streams in found.items() if streams.read or streams.written}

    @property
    def traced(self) -> list[Traced]:
        """What tlstap saw."""
        assert losses(self.tracer.events) == []
        return connections(self.tracer.events)

    def end(self, name: str) -> Traced:
        """The traced connection that moved what this end recorded."""
        wanted = self.recorded[name]
        [found] = [each for each in self.traced if (each.read, each.written) == (wanted.read, wanted.written)]
        return found

    def ports(self) -> dict[str, tuple[int, int]]:
        """Local and remote port of each end, as the program printed them."""
        lines = [line.split() for line in self.output]
        return {line[0]: (int(line[1]), int(line[2])) for line in lines if len(line) == 3}

    def check(self) -> None:
        """Exactly the recorded streams were traced, each with its ports: none missing, none more."""
        traced = self.traced
        seen = Counter((each.read, each.written) for each in traced)
        expected = Counter((each.read, each.written) for each in self.recorded.values())
        assert _sizes(seen) == _sizes(expected)
        assert seen == expected
        ports = self.ports()
        known = {name: ports[name] for name in self.recorded if name in ports}
        if known:
            assert {each.ports for each in traced if each.ports != (None, None)} == set(known.values())


def _sizes(streams: Counter[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
    return sorted((len(read), len(written)) for read, written in streams.elements())
