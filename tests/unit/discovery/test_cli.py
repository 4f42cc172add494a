"""`tlstap inspect` and `tlstap libs`, on a small library that is shaped like OpenSSL's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.unit.discovery.test_scan import process
from tests.unit.plugins.test_openssl_locate import NOINLINE, READ, WRITE, address_of, build

from tlstap.cli import main
from tlstap.discovery import ldcache, processes
from tlstap.discovery.cache import ReportCache
from tlstap.discovery.files import FileIdentity
from tlstap.registry import Registry

REST = """
    void *SSL_new(void *ctx) { return ctx; }
    void SSL_free(void *s) { error((long)s); }
    long SSL_ctrl(void *s, int command, long value, void *pointer) { return value; }
    const char version[] = "OpenSSL 9.8.7 1 Jan 2030";
    void error(int x) {}
    int transport(void *s, void *b, size_t n, size_t *m, long k) { return *m = n, k; }
"""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(ldcache, "known_libraries", lambda sonames: [])


@pytest.fixture
def libssl(tmp_path: Path) -> tuple[Path, Path]:
    """The library, in a folder with a name that would clear a terminal, and the same with symbols."""
    folder = tmp_path / "a\x1b[2Jb"
    folder.mkdir()
    return build(folder, READ + WRITE + REST, NOINLINE, "-Wl,--build-id")


def test_inspect(libssl: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    library, symbols = libssl
    assert main(["inspect", str(library)]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0] == str(library).replace("\x1b", "\\x1b")
    assert "\x1b" not in output.out
    assert "OpenSSL 9.8.7" in lines
    rows = {line.split()[0]: line.split() for line in lines if line.startswith(("SSL_", "ssl_"))}
    assert rows["SSL_new"][1:4] == [f"{address_of(symbols, 'SSL_new'):#x}", "dynsym", "birth"]
    assert rows["ssl_read_internal"][2:4] == ["locator", "read"]
    assert rows["ssl_write_internal"][2:4] == ["locator", "write"]
    assert rows["SSL_read"][2:4] == ["dynsym", "-"]
    assert "not there: SSL_write_ex2 (no symbol)" in lines


def test_inspect_json(libssl: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    library, symbols = libssl
    assert main(["inspect", "--json", str(library)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(library)
    (found,) = document["libraries"]
    assert (found["name"], found["version"]) == ("openssl", "9.8.7")
    addresses = {function["name"]: function["address"] for function in found["functions"]}
    for name in ("ssl_read_internal", "ssl_write_internal", "SSL_free"):
        assert addresses[name] == address_of(symbols, name)


def test_inspect_files_without_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "/bin/sh"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "No TLS library that a plugin supports."
    (tmp_path / "text").write_text("text")
    assert main(["inspect", str(tmp_path / "text")]) == 1
    assert capsys.readouterr().err == f"tlstap: {tmp_path}/text: not an ELF file\n"


def test_libs_of_a_process(libssl: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    library, _ = libssl
    with process(library) as child:
        comm = processes.facts(child.pid).comm
        for _ in range(2):  # the second time from the cache
            assert main(["libs", "-p", str(child.pid)]) == 0
            lines = capsys.readouterr().out.splitlines()
            shown = str(library).replace("\x1b", "\\x1b")
            (row,) = [line for line in lines if shown in line]
            assert row.split()[1:] == ["openssl", "9.8.7", "locator", comm, str(child.pid)]
        assert main(["libs", "--json", "-p", str(child.pid)]) == 0
    document = json.loads(capsys.readouterr().out)
    (image,) = [image for image in document["images"] if image["path"] == str(library)]
    assert image["processes"] == [{"pid": child.pid, "comm": comm}]
    assert image["libraries"][0]["name"] == "openssl"


def test_libs_of_no_process(capsys: pytest.CaptureFixture[str]) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    assert main(["libs", "-p", str(child.pid)]) == 1
    assert capsys.readouterr().err == f"tlstap: process {child.pid}: no such process\n"


def test_libs_without_the_plugin(libssl: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    library, _ = libssl
    with process(library) as child:
        assert main(["libs", "--no-plugin", "openssl", "-p", str(child.pid)]) == 0
        assert str(os.fspath(library)).replace("\x1b", "\\x1b") not in capsys.readouterr().out


def test_inspect_spares_a_trace_the_work(
    libssl: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    library, _ = libssl
    assert main(["inspect", "--json", str(library)]) == 0
    report = json.loads(capsys.readouterr().out)
    known = Registry.load().libraries.values()
    entry = ReportCache(known).get(FileIdentity.of(library.stat()))
    assert entry is not None and entry.report is not None
    assert {"path": str(library), **entry.report.model_dump(mode="json")} == report
