"""The C programs of tests/bpf/programs: compiled once, run with a word to go."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Certificates

SOURCES = Path(__file__).parents[1] / "bpf/programs"
FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror")
LIBRARIES = ("-lssl", "-lcrypto", "-lpthread", "-ldl")
MORE_LIBRARIES = {
    "gnutls": ("-lgnutls",),
    "mbedtls": ("-lmbedtls", "-lmbedx509", "-lmbedcrypto"),
    "nss": ("-I/usr/include/nss", "-I/usr/include/nspr", "-lssl3", "-lnss3", "-lnspr4"),
}
"""What programs are linked with whose names begin so."""


@dataclass
class Programs:
    """Compiles a program on first use."""

    folder: Path

    def path(self, name: str) -> Path:
        """The compiled program. Its file name is `t-NAME`, at most 15 bytes, so that its comm tells it."""
        target = self.folder / f"t-{name}"[:15]
        if not target.exists():
            source = SOURCES / f"{name}.c"
            libraries = (*MORE_LIBRARIES.get(name.partition("_")[0], ()), *LIBRARIES)
            # late_dlopen must not be linked with libssl, and --as-needed sees to that.
            command = ["gcc", *FLAGS, "-o", str(target), str(source), "-Wl,--as-needed", *libraries]
            subprocess.run(command, check=True)
        return target


@dataclass
class Running:
    """A program that waits for the word to go."""

    process: subprocess.Popen[str]
    pid: int
    output: list[str] = field(default_factory=list)

    def go(self) -> None:
        """Give the word, one line on stdin."""
        self.say("go")

    def say(self, line: str) -> None:
        """Write a line to the program's stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """The next line that the program prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def finish(self, seconds: float = 60.0) -> list[str]:
        """Wait for the end, which must be a good one; the lines that it printed since."""
        output, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, f"{self.process.args!r}: exit status {self.process.returncode}"
        return output.splitlines()


def start(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Running:
    """Start a program and wait until it says that it is ready."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=None if environment is None else dict(environment),
    )
    assert process.stdout is not None
    word, _, pid = process.stdout.readline().partition(" ")
    assert word == "ready", f"{command}: not ready"
    return Running(process, int(pid))


@dataclass(frozen=True)
class Streams:
    """What an end of a connection moved, as the program itself recorded it."""

    read: bytes
    written: bytes


def recorded(folder: Path) -> dict[str, Streams]:
    """The records of a program, by the end's name."""
    return {
        path.stem: Streams(path.read_bytes(), path.with_suffix(".write").read_bytes())
        for path in sorted(folder.glob("*.read"))
    }


def arguments(folder: Path, certificates: Certificates, *own: str | int) -> list[str]:
    """The arguments of a program of pair.h: the common ones and its own."""
    return [str(folder), str(certificates.certificate), str(certificates.key), *map(str, own)]
