"""tlstap doctor, and refusals that need root to be reached."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.bpf import own_library
from tests.support.fixtures import system_library
from tests.support.programs import Programs
from tests.support.tracer import TLSTAP

MACHINE = [
    "privilege",
    "kernel",
    "uprobes",
    "type information",
    "process ids",
    "kernel TLS",
    "plugins",
    "BPF program",
    "addresses",
]

WAITING = "import sys, ctypes; [ctypes.CDLL(path) for path in sys.argv[1:]]; print('up', flush=True); input()"


def run(*arguments: str | int, user: bool = False) -> subprocess.CompletedProcess[str]:
    """Run tlstap to its end; with `user` as nobody, who may just read the checkout."""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    drop += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    command = [*(drop if user else []), str(TLSTAP), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def checks(output: str) -> dict[str, dict[str, Any]]:
    """The last check of each name."""
    return {check["name"]: check for check in json.loads(output)["checks"]}


def process_with(*libraries: Path) -> Iterator[int]:
    """A process that has loaded these libraries."""
    command = [sys.executable, "-I", "-c", WAITING, *map(str, libraries)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process.pid
        process.kill()


@pytest.fixture
def with_tls() -> Iterator[int]:
    """A process that uses OpenSSL."""
    yield from process_with(system_library("libssl.so.3"))


@pytest.fixture
def without_tls() -> Iterator[int]:
    """A process that doesn't."""
    yield from process_with()


def test_this_machine_can_trace() -> None:
    result = run("doctor")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert [line[:18].rstrip() for line in lines] == MACHINE
    assert all(line[19:32].rstrip() in ("ok", "limited") for line in lines), lines
    assert any(line.startswith("BPF program        ok") for line in lines)
    assert "NOT POSSIBLE" not in result.stdout
    assert "\x1b" not in result.stdout


def test_json() -> None:
    result = run("doctor", "--json")
    assert result.returncode == 0
    found = checks(result.stdout)
    assert list(found) == MACHINE
    assert found["privilege"] == {"name": "privilege", "ok": True, "text": "this user may trace"}
    assert found["BPF program"]["ok"] is True
    assert "openssl" in found["plugins"]["text"]


def test_without_root_it_says_so_and_fails() -> None:
    result = run("doctor", user=True)
    assert result.returncode == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("privilege")]
    assert "NOT POSSIBLE" in line
    assert "root" in line
    assert "Traceback" not in result.stderr


def test_a_process_with_tls(with_tls: int) -> None:
    result = run("doctor", "-p", with_tls, "--json")
    assert result.returncode == 0
    found = checks(result.stdout)
    assert list(found)[len(MACHINE) :] == ["process", "TLS library"]
    assert found["TLS library"]["ok"] is True
    assert found["TLS library"]["text"].startswith("OpenSSL ")
    assert "libssl.so.3" in found["TLS library"]["text"]
    assert found["process"]["text"] == f"{Path(sys.executable).name} ({Path(sys.executable).resolve()})"


def test_a_process_without_tls(without_tls: int) -> None:
    result = run("doctor", "-p", without_tls)
    assert result.returncode == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("TLS library")]
    assert "NOT POSSIBLE" in line
    assert "it has mapped none that tlstap knows" in line


def test_a_library_that_no_plugin_supports_now(with_tls: int) -> None:
    """What a plugin that was left out would have traced is no guess of another one's."""
    result = run("doctor", "-p", with_tls, "--no-plugin", "openssl", "--json")
    assert result.returncode == 1
    assert checks(result.stdout)["TLS library"]["ok"] is False


def test_a_plugin_that_fails_is_a_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_plugin_of_test.py").write_text("raise RuntimeError('no luck')\n")
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tlstap]\nbroken = broken_plugin_of_test\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = run("doctor", "--json")
    assert result.returncode == 0
    found = checks(result.stdout)["plugins"]
    assert found["ok"] is None
    assert found["text"] == ("plugin broken of broken is left out: can't be imported: RuntimeError: no luck")


def test_a_process_that_is_gone() -> None:
    result = run("doctor", "-p", 4_194_305)
    assert result.returncode == 1
    assert "4194305" in result.stderr
    assert len(result.stderr.splitlines()) == 1


# ---- refusals of trace ----


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--lib", "nonsense"], 2, "no library 'nonsense'; known are: "),
        (["--lib", "openssl,nonsense"], 2, "no library 'nonsense'; known are: "),
        (["-p", 4_194_305], 1, "there is no process 4194305"),
        (["--exe", "/no/such/file"], 2, "--exe /no/such/file: No such file or directory"),
        (["--buffer", "3M"], 2, "power of two"),
        (["--buffer", "1K"], 2, "power of two"),
        (["--buffer", "2G"], 2, "power of two"),
        (["--no-plugin", "nonsense"], 2, "no plugin 'nonsense' to leave out; known are: "),
        (["--", "no-such-command"], 1, "no-such-command: no such command"),
    ],
)
def test_trace_refuses_in_one_line(arguments: list[str | int], status: int, words: str) -> None:
    result = run(*arguments)
    assert result.returncode == status
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"tlstap: {words}") or words == "power of two"
    assert words in line
    if "known are" in words:
        assert "openssl" in line


def test_a_process_without_tls_is_told_of(without_tls: int) -> None:
    result = run("-p", without_tls, "--duration", "0.2")
    assert result.returncode == 0
    assert f"tlstap: process {without_tls} has no TLS library that is traced" in result.stderr
    assert result.stderr.splitlines()[-1] == "tlstap: 0 events, nothing lost"


def test_what_is_traced_is_said(with_tls: int) -> None:
    result = run("-p", with_tls, "--lib", "openssl", "--duration", "0.2")
    assert result.returncode == 0
    first, *_, ready, last = result.stderr.splitlines()
    assert first.startswith("tlstap: OpenSSL 3.")
    assert first.endswith(f" {with_tls}")
    assert ready == "tlstap: tracing 1 library in 1 process"
    assert last == "tlstap: 0 events, nothing lost"


def test_losses_are_said(programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A ring of one page has no room for a large record."""
    info = tmp_path / "own-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[tlstap]\nown = {own_library.__name__}\n")
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    output = tmp_path / "events.json"
    command = [str(TLSTAP), "--buffer", "4K", "--lib", "own", "-f", "json", "-o", str(output), "--"]
    result = subprocess.run(
        [*command, str(programs.path("own_library"))],
        input="write 1 10 1\nwrite 1 10000 3\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0
    events = [json.loads(line) for line in output.read_text().splitlines()]
    assert [event["length"] for event in events if event["kind"] == "data"] == [10]
    (close,) = [event for event in events if event["kind"] == "close"]
    assert (close["written_bytes"], close["written_lost"]) == (30_010, 30_000)
    assert sum(event["bytes"] for event in events if event["kind"] == "lost") == 30_000
    last = result.stderr.splitlines()[-1]
    assert last == (
        f"tlstap: {len(events)} events, 3 records and 30,000 bytes lost; a larger --buffer may help"
    )
