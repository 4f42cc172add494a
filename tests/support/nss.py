"""NSS's own programs and databases, Thunderbird's NSS, and copies of libssl3 that tlstap can't analyse."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tests.support.certificates import Certificates
from tests.support.debian import Unpacked, unpacked
from tests.support.nginx import free_port
from tests.support.wait import wait_until

SERVER = "server"
"""Name of the server's certificate in a database."""

# What belongs together; all else comes from the system. Debian's NSS has no SQLite of its own.
_LIBRARIES = (
    "libfreeblpriv3.so",
    "libmozsqlite3.so",
    "libnss3.so",
    "libnssutil3.so",
    "libsmime3.so",
    "libsoftokn3.so",
    "libssl3.so",
)


def make_database(folder: Path, authority: Path, server: Certificates | None = None) -> Path:
    """Make a database without a password in a new folder; returns the folder.

    :param authority: PEM file of the authority that it trusts to sign servers' certificates.
    :param server: whose certificate and key it also holds.
    """
    folder.mkdir()
    database = f"sql:{folder}"
    _run("certutil", "-N", "-d", database, "--empty-password")
    _run("certutil", "-A", "-d", database, "-n", "authority", "-t", "C,,", "-i", authority)
    if server:
        bundle = folder / "server.p12"
        _run(
            "openssl", "pkcs12", "-export", "-in", server.certificate, "-inkey", server.key, "-name", SERVER,
            "-out", bundle, "-passout", "pass:",
        )  # fmt: skip
        _run("pk12util", "-d", database, "-i", bundle, "-W", "", "-K", "")
    return folder


def _run(*command: str | Path) -> None:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"


def tstclnt(database: Path, port: int, version: str, request: Path) -> list[str]:
    """A command that sends a file to localhost and prints what it receives, up to the connection's end.

    :param version: of TLS, "1.2" or "1.3".
    """
    versions = f"tls{version}:tls{version}"
    return [
        "tstclnt", "-4", "-h", "localhost", "-p", str(port), "-d", f"sql:{database}", "-V", versions,
        "-A", str(request),
    ]  # fmt: skip


@dataclass(frozen=True)
class ClientRun:
    """What a client did: its process id and the bytes that it received."""

    pid: int
    response: bytes


def run_client(command: Sequence[str], libraries: Path | None = None) -> ClientRun:
    """Run a client up to the end of the connection; it must end well.

    :param libraries: a folder whose libraries it uses instead of the system's.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries)} if libraries else None,
    )
    try:
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, f"{command}: exit status {process.returncode}: {errors!r}"
    return ClientRun(process.pid, output)


@dataclass(frozen=True)
class Selfserv:
    """A running selfserv. To each request it says HTTP/1.0 200 and repeats the request."""

    pid: int
    port: int


@contextmanager
def run_selfserv(database: Path) -> Iterator[Selfserv]:
    """Run it around the block. It listens on all addresses, and has no option for less."""
    port = free_port()
    command = ["selfserv", "-n", SERVER, "-p", str(port), "-d", f"sql:{database}", "-V", "tls1.2:tls1.3"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listening(port), "selfserv to listen")
        yield Selfserv(process.pid, port)
    finally:
        process.kill()
        process.wait()


def _listening(port: int) -> bool:
    """Without a connection, which it would take for its client."""
    listening = "0A"
    for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]:
        local, _, state = line.split()[1:4]
        if state == listening and int(local.rpartition(":")[2], 16) == port:
            return True
    return False


def without_unwind_table(original: Path, target: Path) -> Path:
    """Copy a library whose unwind tables can't be found: it works, but functions' bounds are unknown.

    Neither has .eh_frame_hdr its program header, nor .eh_frame its name.
    """
    content = bytearray(original.read_bytes())
    with original.open("rb") as file:
        elf = ELFFile(file)
        header = elf.header
        segments = [segment["p_type"] for segment in elf.iter_segments()]
        sections = [section.name for section in elf.iter_sections()]
    number = segments.index("PT_GNU_EH_FRAME")
    struct.pack_into("<I", content, header["e_phoff"] + number * header["e_phentsize"], 0)  # PT_NULL
    number = sections.index(".eh_frame")
    struct.pack_into("<I", content, header["e_shoff"] + number * header["e_shentsize"], 0)  # no name
    target.write_bytes(content)
    target.chmod(0o755)
    return target


def copied_libraries(source: Path, folder: Path) -> Path:
    """Copy NSS's libraries to a new folder: files that nobody else uses. Returns the folder."""
    folder.mkdir()
    for name in _LIBRARIES:
        if (source / name).exists():
            shutil.copy(source / name, folder / name)
    return folder


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """A process that does nothing with the libssl3 of that folder, so that tlstap knows it from the start."""
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, folder / "libssl3.so"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.communicate(timeout=20)


def thunderbird() -> Path:
    """The folder of Thunderbird's own NSS, which clang builds; fetched once.

    :raises RuntimeError: it can't be fetched; the message says why.
    """
    package = unpacked("thunderbird", ("bookworm", "bookworm-security"), ("thunderbird",), dependencies=False)
    for file in package.find("*"):
        # It has 300 MB, of which 4 are wanted.
        if file.name not in _LIBRARIES and not file.is_symlink() and file.stat().st_size > 1_000_000:
            file.unlink()
    [libssl3] = package.find("libssl3.so")
    return libssl3.parent


def curl_nss() -> Unpacked:
    """libcurl-nss.so.4, which Debian has up to bookworm, and all that it needs; fetched once.

    :raises RuntimeError: it can't be fetched; the message says why.
    """
    return unpacked("libcurl-nss", ("bookworm", "bookworm-security"), ("libcurl3-nss", "libnspr4", "libnss3"))
