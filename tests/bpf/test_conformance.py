"""tlstap plugins check: the built-in plugins pass it, and it names what is wrong with a declaration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bpf.toy_library import (
    BIRTH,
    FREE,
    HANDSHAKE,
    LIFE,
    READ,
    READ_EX,
    RESET,
    ROLES,
    WRITE,
    WRITE_EX,
    registry,
)
from tests.support.drivers import SOURCES, compile_driver
from tests.support.examples import install, run
from tests.support.tracer import TLSTAP

from tlstap.conformance import SCENARIOS, Report, check
from tlstap.library import BirthProbe, DataProbe, DetailProbe, FreeProbe, HandshakeProbe, Probe, RoleProbe


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled drivers."""
    return tmp_path_factory.mktemp("drivers")


@pytest.mark.parametrize(
    ("library", "resets"), [("openssl", True), ("gnutls", False), ("nss", False), ("boringssl", True)]
)
def test_a_builtin_plugin_passes(drivers: Path, library: str, resets: bool) -> None:
    driver = compile_driver(drivers, library)
    command = [TLSTAP, "plugins", "check", library, "--json", "--program", driver]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert [one for one in report["checks"] if one["outcome"] == "failed"] == []
    assert (done.returncode, report["ok"], report["library"]) == (0, True, library)
    outcomes = {one["name"]: one["outcome"] for one in report["checks"]}
    assert {name: outcomes.get(name) for name in SCENARIOS} == {
        name: "ok" if resets or name != "reset" else "left out" for name in SCENARIOS
    }


@pytest.mark.parametrize("library", ["wolfssl", "mbedtls"])
def test_an_example_passes(drivers: Path, tmp_path: Path, library: str) -> None:
    """A distribution of its own, by the one command that its author runs."""
    example = install(f"tlstap-{library}", tmp_path)
    driver = compile_driver(drivers, library)
    command = [str(TLSTAP), "plugins", "check", library, "--program", str(driver)]
    lines = run(command, example.environment).splitlines()
    assert [line.split(":")[0].split() for line in lines[-9:]] == [["ok", name] for name in SCENARIOS]


def test_a_driver_in_another_language() -> None:
    driver = SOURCES / "openssl.py"
    report = check("openssl", [sys.executable, str(driver)], scenarios=["exchange", "large"])
    assert report.failures == []
    assert [(one.name, one.outcome) for one in report.checks[-2:]] == [
        ("exchange", "ok"),
        ("large", "left out"),
    ]
    assert report.checks[-2].text.startswith("2 connections, 4800 bytes: every byte once, ")


def checked(drivers: Path, *probes: Probe, scenarios: tuple[str, ...] = ("exchange",)) -> Report:
    return check(
        "toy", [str(compile_driver(drivers, "toy"))], scenarios=scenarios, registry=registry(*probes)
    )


def failures(drivers: Path, *probes: Probe, scenarios: tuple[str, ...] = ("exchange",)) -> list[str]:
    """What failed, in lines."""
    report = checked(drivers, *probes, scenarios=scenarios)
    return [f"{one.name}: {one.text}" for one in report.failures]


@pytest.mark.parametrize("way", ["plain", "ex", "outer"])
def test_a_right_declaration_passes(drivers: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY", way)
    report = checked(drivers, READ, WRITE, READ_EX, WRITE_EX, *LIFE, scenarios=())
    assert report.failures == []
    assert {one.name for one in report.checks if one.outcome == "ok"} >= set(SCENARIOS)


def test_another_buffer(drivers: Path) -> None:
    wrong = DataProbe(function="toy_read", direction="read", buffer=1)
    why = "is `buffer` the right argument of toy_read, is the order right?"
    assert failures(drivers, wrong, WRITE, *LIFE) == [
        f"exchange, bytes: the client's read: expected 507 bytes, saw as many others by toy_read: {why}",
        f"exchange, bytes: the server's read: expected 1010 bytes, saw as many others by toy_read: {why}",
    ]


def test_a_buffer_that_is_not_there(drivers: Path) -> None:
    wrong = DataProbe(function="toy_write", direction="write", buffer=3)
    why = "bytes were not readable where toy_write is said to have them: is `buffer` the right argument?"
    assert failures(drivers, READ, wrong, *LIFE) == [
        f"exchange, bytes: the client's write: expected 1010 bytes, saw 0 of 1010 by toy_write: 1010 {why}",
        f"exchange, bytes: the server's write: expected 507 bytes, saw 0 of 507 by toy_write: 507 {why}",
    ]


def test_both_directions_wrong(drivers: Path) -> None:
    read = DataProbe(function="toy_read", direction="write")
    write = DataProbe(function="toy_write", direction="read")
    assert failures(drivers, read, write, BIRTH, RESET, FREE, HANDSHAKE) == [
        "exchange, direction: expected bytes to be written before they are read, saw toy_write read what "
        "toy_read wrote later: their directions are the wrong way round"
    ]


def test_one_direction_wrong(drivers: Path) -> None:
    never = DataProbe(function="toy_never", direction="read")
    wrong = DataProbe(function="toy_read", direction="write")
    none, why = "saw none: no read probe saw these calls", "showed what the application read: its `direction`"
    assert failures(drivers, never, wrong, WRITE, *LIFE) == [
        f"exchange, bytes: the client's read: expected 507 bytes, {none}",
        "exchange, bytes: the client's write: expected 1010 bytes, saw 1517 by toy_write, toy_read: "
        f"toy_read {why} is wrong",
        f"exchange, bytes: the server's read: expected 1010 bytes, {none}",
        "exchange, bytes: and 1 more",
    ]


def test_a_probe_is_missing(drivers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY", "ex")
    assert failures(drivers, READ, WRITE_EX, *LIFE) == [
        "exchange, bytes: the client's read: expected 507 bytes, saw none: no read probe saw these calls",
        "exchange, bytes: the server's read: expected 1010 bytes, saw none: no read probe saw these calls",
    ]


def test_doubles_under_another_handle(drivers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY", "outer")
    outer = DataProbe(function="outer_read", direction="read")
    assert failures(drivers, READ, WRITE, outer, *LIFE) == [
        "exchange, connections: expected 2, saw 4",
        "exchange, bytes: expected every byte once, saw the same bytes again on another connection by "
        "outer_read: its handle is another one than that of the function which it calls or which calls it "
        "(2 times)",
    ]


def test_two_handles_for_one_connection(drivers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY", "mixed")
    outer = DataProbe(function="outer_read", direction="read")
    assert failures(drivers, outer, WRITE) == [
        "exchange, connections: expected 2, saw 4",
        "exchange, bytes: expected one connection, saw its reads and its writes as two: is `handle` the same "
        "of outer_read and toy_write (`identify`)? (2 times)",
    ]


def test_a_status_for_a_length(drivers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY", "ex")
    wrong = DataProbe(function="toy_read_ex", direction="read")
    why = "each call of toy_read_ex counts as one byte: is its return value a status (`moved`: OutPointer)?"
    assert failures(drivers, wrong, WRITE_EX, *LIFE) == [
        f"exchange, bytes: the client's read: expected 507 bytes, saw 2 by toy_read_ex: {why}",
        f"exchange, bytes: the server's read: expected 1010 bytes, saw 2 by toy_read_ex: {why}",
    ]


def test_a_life_that_is_wrong(drivers: Path) -> None:
    """No birth, no end, no handshake."""
    probes = (
        BirthProbe(function="toy_never"),
        FreeProbe(function="toy_never"),
        HandshakeProbe(function="toy_handshake", success="zero"),
    )
    assert failures(drivers, READ, WRITE, *probes, scenarios=("close",)) == [
        "close, open: expected connections to be seen from their birth, saw 4 of 4 only later",
        "close, handshake: expected one that succeeded on each connection, saw none (2 of 4): `success`?",
        "close, close: expected one connection's two ends to end before the other's, saw none: does the free "
        "probe's function end the connection?",
    ]


def test_roles_that_are_wrong(drivers: Path) -> None:
    probes = (RoleProbe(function="toy_become_client", role="server"),)
    assert failures(drivers, READ, WRITE, BIRTH, FREE, *probes) == [
        "exchange, role: expected client, saw server (1 of 2)",
        "exchange, role: expected server, saw none (1 of 2)",
    ]


def test_resets_that_are_not_declared(drivers: Path) -> None:
    assert failures(drivers, READ, WRITE, BIRTH, FREE, scenarios=("reset",)) == [
        "reset, connections: expected 8, saw 2: a handle that is reset is a new connection: is there a "
        "BirthProbe with `handle`?"
    ]


def test_a_hook_that_raises_while_tracing(drivers: Path) -> None:
    detail = DetailProbe(function="toy_become_client", details=("sni",), value=1)
    assert failures(drivers, READ, WRITE, detail) == [
        "tracing: plugin toy of an unknown distribution: tlstap_describe failed for sni (ValueError: a "
        "detail that nobody can describe); what it fails for is shown as it is"
    ]


def test_a_driver_that_plays_nothing() -> None:
    script = """print('{"left_out": "not today"}')"""
    report = check("openssl", [sys.executable, "-c", script])
    assert [f"{one.name}: {one.text}" for one in report.failures] == [
        "scenarios: expected the driver to play at least one, saw it leave out all"
    ]


def test_functions_that_are_not_there(drivers: Path) -> None:
    probes = (READ, DataProbe(function="toy_wrote", direction="write"), FreeProbe(function="toy_fre"))
    driver = compile_driver(drivers, "toy")
    report = check("toy", files=[str(driver)], registry=registry(*probes, *ROLES))
    assert [f"{one.name}: {one.text}" for one in report.failures] == [
        f"file {driver}: expected a function that writes, found none",
        f"file {driver}: expected a function for a free probe, found none of toy_fre",
    ]


def test_a_driver_that_fails() -> None:
    script = "import sys; sys.exit('what is ' + sys.argv[-1] + '?')"
    report = check("toy", [sys.executable, "-c", script], registry=registry(READ, WRITE), scenarios=["large"])
    assert [f"{one.name}: {one.text}" for one in report.failures if one.name.startswith("large")] == [
        "large, driver: expected it to play the scenario, saw exit status 1: what is large?"
    ]
