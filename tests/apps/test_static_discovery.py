"""Libraries inside of files: without symbols the same functions are found; where there is no TLS, none."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from tests.support import bun, chromium, node
from tests.support.tracer import TLSTAP
from tests.support.wheels import module, strip

from tlstap.discovery.analysis import analyse
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.processes import open_beside
from tlstap.discovery.report import ImageReport
from tlstap.errors import ElfError
from tlstap.registry import Registry

OTHER_NAMES = {"ssl_write_internal_flags": "ssl_write_internal"}
"""Names that plugins give to functions; the same function has another signature in some version."""
FILES: dict[str, Callable[[], Path]] = {
    "Chromium": lambda: chromium.EXECUTABLE,
    "Bun": bun.available,
    "gRPC": lambda: module("grpc._cython.cygrpc"),
    "curl_cffi": lambda: module("curl_cffi._wrapper"),
    "cryptography": lambda: module("cryptography.hazmat.bindings._rust"),
    "Node.js": lambda: node.available().executable,
}
LONG_ENOUGH = 30.0
"""Seconds for a file, on a busy machine; what is not bounded takes hours."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def inspect(registry: Registry, file: Path) -> ImageReport:
    """What is in a file, searched anew.

    :raises ElfError: it is not a file that a processor could run.
    """
    with ElfImage.open(str(file)) as image:
        return analyse(
            image, registry.libraries.values(), registry.locate, partial(open_beside, None, str(file))
        )


def symbols(file: Path) -> dict[str, int]:
    """The symbol table, as nm reads it."""
    result = subprocess.run(["nm", "--defined-only", "-P", file], capture_output=True, text=True, check=True)
    fields = [line.split() for line in result.stdout.splitlines()]
    return {name: int(value, 16) for name, _, value, *_ in fields if value}


def hide_exports(file: Path) -> None:
    """Rename what a file exports of its TLS library, which `strip` leaves there. It doesn't run any more."""
    with file.open("r+b") as opened:
        section = ELFFile(opened).get_section_by_name(".dynstr")
        assert section is not None
        names, offset = section.data(), section["sh_offset"]
        opened.seek(offset)
        opened.write(names.replace(b"\0SSL_", b"\0Xsl_").replace(b"\0ssl", b"\0Xsl"))


@pytest.mark.parametrize(
    ("name", "library", "functions"),
    [
        ("curl_cffi", "boringssl", {"SSL_read", "SSL_write", "SSL_do_handshake", "SSL_new"}),
        ("cryptography", "openssl", {"ssl_read_internal", "SSL_do_handshake", "SSL_new"}),
        ("Node.js", "openssl", {"SSL_read", "SSL_write", "SSL_do_handshake", "SSL_new"}),
    ],
)
def test_the_same_without_symbols(
    registry: Registry, tmp_path: Path, name: str, library: str, functions: set[str]
) -> None:
    original = FILES[name]()
    copy = strip(original, tmp_path / original.name)
    hide_exports(copy)
    [by_symbols] = inspect(registry, original).libraries
    [by_signature] = inspect(registry, copy).libraries
    copy.unlink()
    known = symbols(original)
    found = {function.name: function for function in by_signature.functions}

    assert by_symbols.name == by_signature.name == library
    assert by_symbols.version == by_signature.version
    assert functions <= found.keys()
    assert {function.means for function in found.values()} == {"signature"}
    assert {name: function.address for name, function in found.items()} == {
        name: known[OTHER_NAMES.get(name, name)] for name in found
    }
    # Where both know a function, a probe goes to the same place.
    for function in by_symbols.functions:
        if function.name in found:
            assert found[function.name].probe_offset == function.probe_offset


@pytest.mark.parametrize("name", ["Chromium", "Bun", "gRPC"])
def test_inspect_says_how_it_was_found(name: str) -> None:
    """Files that come without symbols."""
    [library] = json.loads(run_inspect(FILES[name]()).stdout)["libraries"]
    means = {function["name"]: function["means"] for function in library["functions"]}

    assert library["name"] == "boringssl"
    assert means.keys() >= {"SSL_read", "SSL_write", "SSL_do_handshake"}
    assert set(means.values()) == {"signature"}


def programs_and_libraries() -> list[Path]:
    """This machine's own ELF files, in a fixed order."""
    folders = [Path("/usr/bin"), Path("/usr/sbin"), Path(f"/usr/lib/{os.uname().machine}-linux-gnu")]
    files = [Path(entry) for folder in folders for entry in os.scandir(folder) if entry.is_file()]
    return sorted(file for file in files if not file.is_symlink() and starts_as_elf(file))


def starts_as_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def holds_tls(file: Path) -> bool:
    """Whether a library is there indeed: its source files' names, or the functions that it exports."""
    if b"ssl_lib.c" in file.read_bytes():
        return True
    result = subprocess.run(["nm", "-D", "--defined-only", file], capture_output=True, text=True, check=True)
    exported = {word.partition("@")[0] for word in result.stdout.split()}
    return bool({"gnutls_record_recv", "SSL_ImportFD", "PR_Read"} & exported)


def test_what_holds_no_tls_yields_nothing(registry: Registry) -> None:
    """Among these are programs that use a library, and others with OpenSSL's other half."""
    everything = programs_and_libraries()
    chosen = random.Random(4).sample(everything, min(300, len(everything)))
    looked_into = 0
    for file in chosen:
        try:
            report = inspect(registry, file)
        except ElfError:
            continue
        looked_into += 1
        if report.libraries:
            assert holds_tls(file), f"{file}: {report.libraries}"
        assert not report.problems
    assert looked_into > len(chosen) / 2


@pytest.fixture(scope="module")
def copy_of_chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy, which these tests make ever shorter."""
    copy = tmp_path_factory.mktemp("chromium") / "chromium"
    shutil.copy(chromium.EXECUTABLE, copy)
    yield copy
    copy.unlink()


def run_inspect(file: Path) -> subprocess.CompletedProcess[str]:
    """`tlstap inspect --json`, which must end in time and without a traceback."""
    command: list[str | Path] = [TLSTAP, "inspect", "--json", file]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False)
    assert "Traceback" not in result.stderr
    assert "internal error" not in result.stderr
    return result


def functions_found(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Names of the functions that it found, if it has not refused the file."""
    if result.returncode:
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
        return []
    return [
        function["name"]
        for library in json.loads(result.stdout)["libraries"]
        for function in library["functions"]
    ]


@pytest.mark.parametrize("part", [0.8, 0.5, 0.2, 0.001])
def test_torn_chromium(copy_of_chromium: Path, part: float) -> None:
    """What is missing of a file is not there at all, or is there as zeros, as a broken download leaves it."""
    size = chromium.EXECUTABLE.stat().st_size
    os.truncate(copy_of_chromium, int(size * part))
    assert run_inspect(copy_of_chromium).returncode == 1
    os.truncate(copy_of_chromium, size)
    if part < 0.6:  # SSL_read is in the middle
        assert functions_found(run_inspect(copy_of_chromium)) == []


HUGE = (1 << 64) - 1
SOURCE = b"\0../../third_party/boringssl/src/ssl/ssl_lib.cc\0"
PAGE = 4096
READ, EXECUTE = 4, 5


def elf(
    segments: list[tuple[int, int, int, int]], rest: bytes = SOURCE, *, program_headers: int = 64,
    section_headers: int = 0, sections: int = 0,
) -> bytes:  # fmt: skip
    """An ELF file for x86-64 with these loaded segments: flags, offset in the file, address, size."""
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, program_headers, section_headers, 0, 64, 56, len(segments), 64,
        sections, max(0, sections - 1),
    )  # fmt: skip
    loads = [
        struct.pack("<IIQQQQQQ", 1, flags, offset, address, 0, size, size, PAGE)
        for flags, offset, address, size in segments
    ]
    return header + b"".join(loads) + rest


TERABYTE = 1 << 40
HOSTILE: dict[str, tuple[bytes, int]] = {
    "headers outside": (elf([(EXECUTE, 0, 0, PAGE)], program_headers=HUGE - 8), PAGE),
    "a segment larger than the file": (elf([(EXECUTE, 0, 0, HUGE)]), PAGE),
    "a segment around the end of memory": (elf([(EXECUTE, 0, HUGE - PAGE + 1, 2 * PAGE)]), 2 * PAGE),
    "sections outside": (elf([(EXECUTE, 0, 0, PAGE)], section_headers=HUGE - 64, sections=65535), PAGE),
    "sections that are something else": (
        elf([(EXECUTE, 0, 0, PAGE)], SOURCE + b"\xff" * 64, section_headers=64, sections=3), PAGE,
    ),
    "60000 segments": (elf([(EXECUTE, 0, PAGE * number, PAGE) for number in range(60_000)]), 1 << 22),
    "segments upon each other": (elf([(EXECUTE, 0, 16 * number, 1 << 26) for number in range(500)]), 1 << 26),
    "a hole as code": (
        elf([(READ, 0, 0, PAGE), (EXECUTE, PAGE, PAGE, TERABYTE - PAGE)]), TERABYTE,
    ),
}  # fmt: skip
"""Files as somebody might make them who wants tlstap to crash, or to be busy for hours: start and size."""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers(tmp_path: Path, name: str) -> None:
    file = tmp_path / "hostile"
    start, size = HOSTILE[name]
    file.write_bytes(start)
    os.truncate(file, size)
    assert functions_found(run_inspect(file)) == []


def test_damaged_headers(registry: Registry, tmp_path: Path) -> None:
    """A real library with BoringSSL inside, whose headers are damaged in several ways."""
    original = FILES["gRPC"]()
    file = tmp_path / "damaged"
    shutil.copy(original, file)
    content = original.read_bytes()[:PAGE]
    rng = random.Random(4)
    refused = 0
    for _ in range(25):
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 8)):
            place = rng.randrange(16, 64 + 56 * 10)
            damaged[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        with file.open("r+b") as opened:
            opened.write(damaged)
        try:
            report = inspect(registry, file)
        except ElfError:
            refused += 1
        else:
            for library in report.libraries:
                assert library.name == "boringssl"
    assert 0 < refused < 25
