"""A third-party plugin for the functions of programs/own_library.c, and that program under control."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

from tlstap.hookspecs import hookimpl
from tlstap.library import (
    BirthProbe,
    DataProbe,
    FreeProbe,
    HandshakeProbe,
    Library,
    Probe,
    Recognise,
    RoleProbe,
)
from tlstap.registry import Registry

MANY = 56

_DATA: tuple[Probe, ...] = (
    DataProbe(function="own_read", direction="read"),
    DataProbe(function="own_write", direction="write"),
    FreeProbe(function="own_free"),
)
_RECOGNISE = Recognise(symbols=("own_library_of_tlstap_tests",))

OWN = Library(name="own", title="Own", recognise=_RECOGNISE, probes=_DATA)

NESTING = Library(
    name="nesting",
    title="Nesting",
    recognise=_RECOGNISE,
    probes=(
        *_DATA,
        DataProbe(function="own_nest", direction="write"),
        DataProbe(function="own_jump", direction="write"),
    ),
)

PENDING = Library(
    name="pending",
    title="Pending",
    recognise=_RECOGNISE,
    probes=(*_DATA, DataProbe(function="own_pend", direction="write", pending=(-28,))),
)

CALLERS_MEMORY = Library(
    name="memory",
    title="Memory",
    recognise=_RECOGNISE,
    probes=(
        *_DATA,
        BirthProbe(function="own_init", handle=1),
        HandshakeProbe(function="own_shake", success="zero"),
        RoleProbe(function="own_shake", role="server"),
    ),
)

MANY_FUNCTIONS = Library(
    name="many",
    title="Many",
    recognise=_RECOGNISE,
    probes=(
        *_DATA,
        *(
            HandshakeProbe(function=f"own_many_{tens}{ones}", success="positive")
            for tens in range(1, 8)
            for ones in range(8)
        ),
    ),
)

_chosen = OWN


@hookimpl
def tlstap_libraries() -> Sequence[Library]:
    return [_chosen]


def registry(library: Library = OWN) -> Registry:
    """The plugins with this library among them, as if a distribution had brought it."""
    global _chosen
    _chosen = library
    return Registry.load(third_party=[EntryPoint("own", __name__, "tlstap")])


class Program:
    """The running program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self._expect_ready()

    def _expect_ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"ready {self.pid}\n"

    def do(self, *words: str | int) -> str:
        """Give it a line and wait until it is done; what it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        done, _, answer = self._process.stdout.readline().rstrip("\n").partition(" ")
        assert done == "done"
        return answer

    def execute_again(self) -> None:
        """Let it execute itself; it has the process id and the handles stay the same."""
        assert self._process.stdin is not None
        self._process.stdin.write("exec\n")
        self._process.stdin.flush()
        self._expect_ready()

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def probed(self, where: str = "where") -> bool:
        """Whether the first instruction of a function (own_write) is another one in memory than in the file.

        :param where: what to ask the program for the address.
        """
        address = int(self.do(where), 16)
        maps = Path(f"/proc/{self.pid}/maps").read_text().splitlines()
        for line in maps:
            place, _, offset, _, _, path = line.split(maxsplit=5)
            start, end = (int(part, 16) for part in place.split("-"))
            if start <= address < end:
                in_file = int(offset, 16) + address - start
                return _read(f"/proc/{self.pid}/mem", address) != _read(path, in_file)
        raise AssertionError(f"nothing is mapped at {address:#x}")


def _read(path: str, offset: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(4)


@contextmanager
def run(path: Path) -> Iterator[Program]:
    """Run the program; it ends with the block."""
    with subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


def payload(size: int) -> bytes:
    """The bytes that the program writes."""
    return bytes(number % 251 for number in range(size))
