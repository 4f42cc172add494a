"""OpenSSL linked into a program, whose symbols are in its own table, elsewhere, or nowhere."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tlstap.discovery import symbols
from tlstap.discovery.analysis import analyse
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.report import FoundLibrary, ImageReport
from tlstap.registry import Registry
from tlstap.tracing.plan import plan

PROGRAM = """
    #include <openssl/ssl.h>
    #include <stdio.h>
    int main(int count, char **arguments) {
        char buffer[16];
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        SSL *ssl = SSL_new(context);
        SSL_set_tlsext_host_name(ssl, "localhost");
        if (count > 1 && SSL_connect(ssl) == 1 && SSL_write(ssl, "hello", 5) > 0)
            SSL_read(ssl, buffer, sizeof buffer);
        SSL_free(ssl);
        SSL_CTX_free(context);
        puts(OpenSSL_version(OPENSSL_VERSION));
        return 0;
    }
"""
LIBRARIES = ("-l:libssl.a", "-l:libcrypto.a", "-lpthread", "-ldl")
INTERNAL = ("ssl_read_internal", "ssl_write_internal")
BY_SIGNATURE = (*INTERNAL, "SSL_read", "SSL_write", "SSL_do_handshake", "SSL_new", "SSL_clear", "ssl3_ctrl")
EXPORTED = ("SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex", "SSL_free", "SSL_ctrl", "SSL_new")


def run(*command: str | Path) -> str:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def link(folder: Path, source: str, *options: str) -> Path:
    (folder / "program.c").write_text(source)
    program = folder / "program"
    run("gcc", "-O2", "-Wl,--build-id", "-o", program, folder / "program.c", *options)
    return program


@pytest.fixture(scope="module", params=["-pie", "-no-pie", "-static"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with a table of symbols."""
    return link(tmp_path_factory.mktemp("static"), PROGRAM, request.param, *LIBRARIES)


@pytest.fixture
def debug_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where separate debug files are looked for."""
    folder = tmp_path / "build-id"
    monkeypatch.setattr(symbols, "_DEBUG_FOLDER", str(folder))
    return folder


def strip(program: Path, output: Path) -> Path:
    run("strip", "-s", "-o", output, program)
    return output


def place_debug_file(program: Path, folder: Path, build_id: str) -> None:
    """Where a package of debug symbols would put it."""
    (folder / build_id[:2]).mkdir(parents=True)
    run("objcopy", "--only-keep-debug", program, folder / build_id[:2] / f"{build_id[2:]}.debug")


def add_debugdata(program: Path, stripped: Path, folder: Path) -> None:
    """As Fedora makes it: the functions that .dynsym has not, in a compressed file of their own."""
    dynamic = {line.split()[0] for line in run("nm", "-D", "-f", "posix", program).splitlines()}
    functions = symbol_table(program).keys()
    (folder / "keep").write_text("\n".join(sorted(functions - dynamic)))
    run("objcopy", "--only-keep-debug", program, folder / "debug")
    run(
        "objcopy",
        "-S",
        "-R",
        ".comment",
        "--keep-symbols",
        folder / "keep",
        folder / "debug",
        folder / "mini",
    )
    (folder / "mini.xz").write_bytes(lzma.compress((folder / "mini").read_bytes()))
    run("objcopy", "--add-section", f".gnu_debugdata={folder / 'mini.xz'}", stripped)


def symbol_table(program: Path) -> dict[str, int]:
    lines = (line.split() for line in run("nm", "-f", "posix", program).splitlines())
    return {name: int(value[0], 16) for name, kind, *value in lines if kind in "Tt" and value}


def report_on(path: Path) -> ImageReport:
    def nothing_beside(name: str) -> int:
        raise FileNotFoundError(name)

    registry = Registry.load()
    with ElfImage.open(str(path)) as image:
        return analyse(image, registry.libraries.values(), registry.locate, nothing_beside)


def openssl_in(path: Path) -> FoundLibrary:
    report = report_on(path)
    assert report.problems == ()
    (found,) = report.libraries
    assert found.name == "openssl"
    return found


def means(found: FoundLibrary) -> dict[str, str]:
    return {function.name: function.means for function in found.functions}


def assert_true(found: FoundLibrary, program: Path) -> None:
    """The version is what the program prints, the addresses are those of its table of symbols."""
    assert found.version == run(program).split()[1]
    table = symbol_table(program)
    assert {one.name: one.address for one in found.functions} == {
        one.name: table[one.name] for one in found.functions
    }


def assert_planned(found: FoundLibrary) -> None:
    """The internal functions are probed."""
    points = plan(Registry.load().libraries["openssl"], {one.name: one.address for one in found.functions})
    data = {(point.function, point.probe.moved.argument) for point in points if point.probe.kind == "data"}  # type: ignore[union-attr]
    assert data == {(name, 4) for name in INTERNAL}


def test_symbols_of_its_own(program: Path) -> None:
    found = openssl_in(program)
    assert_true(found, program)
    assert_planned(found)
    assert {means(found)[name] for name in (*INTERNAL, *EXPORTED)} == {"symtab"}


def test_a_separate_debug_file(program: Path, tmp_path: Path, debug_folder: Path) -> None:
    stripped = strip(program, tmp_path / "stripped")
    with ElfImage.open(str(stripped)) as image:
        assert image.build_id is not None
        place_debug_file(program, debug_folder, image.build_id)
    found = openssl_in(stripped)
    assert_true(found, program)
    assert_planned(found)
    assert {means(found)[name] for name in (*INTERNAL, *EXPORTED)} == {"debug file"}


def test_a_compressed_table(program: Path, tmp_path: Path, debug_folder: Path) -> None:
    stripped = strip(program, tmp_path / "stripped")
    add_debugdata(program, stripped, tmp_path)
    found = openssl_in(stripped)
    assert_true(found, program)
    assert_planned(found)
    assert {means(found)[name] for name in (*INTERNAL, *EXPORTED)} == {"gnu_debugdata"}


def test_no_symbols(program: Path, tmp_path: Path, debug_folder: Path) -> None:
    found = openssl_in(strip(program, tmp_path / "stripped"))
    assert_true(found, program)
    assert_planned(found)
    assert means(found) == dict.fromkeys(BY_SIGNATURE, "signature")
    reasons = {one.name: one.reason for one in found.missing}
    assert "argument 4" in reasons["ssl_write_internal_flags"]
    assert reasons["SSL_free"] == "no symbol"


def test_the_debug_file_of_another_build(program: Path, tmp_path: Path, debug_folder: Path) -> None:
    stripped = strip(program, tmp_path / "stripped")
    other = link(tmp_path, PROGRAM.replace("hello", "other"), *LIBRARIES)
    with ElfImage.open(str(stripped)) as image:
        assert image.build_id is not None
        place_debug_file(other, debug_folder, image.build_id)
    assert set(means(openssl_in(stripped)).values()) == {"signature"}


def test_no_version(tmp_path: Path, debug_folder: Path) -> None:
    """The text comes with OpenSSL_version, if that is called."""
    program = link(tmp_path, PROGRAM.replace("OpenSSL_version(OPENSSL_VERSION)", "buffer"), *LIBRARIES)
    found = openssl_in(strip(program, tmp_path / "stripped"))
    assert found.version is None
    assert means(found) == dict.fromkeys(BY_SIGNATURE, "signature")


def test_no_sections_either(program: Path, tmp_path: Path, debug_folder: Path) -> None:
    stripped = tmp_path / "stripped"
    shutil.copy(program, stripped)
    with stripped.open("r+b") as file:
        file.seek(40)
        file.write(bytes(8))  # e_shoff
        file.seek(58)
        file.write(bytes(6))  # e_shentsize, e_shnum, e_shstrndx
    found = openssl_in(stripped)
    assert_true(found, program)
    with ElfImage.open(str(stripped)) as image:
        unwinding = any(segment.type == "PT_GNU_EH_FRAME" for segment in image.segments)
    if unwinding:
        assert_planned(found)
        assert means(found) == dict.fromkeys(BY_SIGNATURE, "signature")
    else:  # then calls must tell where functions begin, which they do not for all
        assert {"ssl_read_internal", "SSL_read", "SSL_write"} <= means(found).keys()
        assert set(means(found).values()) == {"signature"}


HASHES = """
    #include <openssl/sha.h>
    #include <openssl/crypto.h>
    #include <stdio.h>
    int main(void) {
        unsigned char hash[32];
        SHA256((const unsigned char *)"a", 1, hash);
        puts(OpenSSL_version(0));
        return hash[0] == 0;
    }
"""


@pytest.mark.parametrize(
    ("source", "options"),
    [(PROGRAM, ("-lssl", "-lcrypto")), (HASHES, ("-l:libcrypto.a",)), (HASHES, ("-lcrypto",))],
    ids=["libssl elsewhere", "libcrypto only", "libcrypto elsewhere"],
)
@pytest.mark.parametrize("prepare", [shutil.copy, strip], ids=["symbols", "stripped"])
def test_what_carries_no_libssl(
    tmp_path: Path, source: str, options: tuple[str, ...], prepare: Callable[[Path, Path], object]
) -> None:
    program = link(tmp_path, source, *options)
    prepare(program, tmp_path / "it")
    assert report_on(tmp_path / "it").libraries == ()
