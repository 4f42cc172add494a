"""Addresses that the user gives by hand: traced when they are right, withdrawn when they are not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bpf import own_library
from tests.bpf.own_library import Program, payload
from tests.bpf.test_trial import shown
from tests.support.programs import Programs

from tlstap.discovery.given import GivenAddress
from tlstap.errors import UsageError
from tlstap.records import TraceRecord
from tlstap.registry import Registry
from tlstap.tracing.filters import Filters
from tlstap.tracing.options import Options
from tlstap.tracing.session import Session

SIZE = 300
MEANT = frozenset({"boringssl"})


@pytest.fixture
def stripped(programs: Programs, tmp_path: Path) -> tuple[Path, dict[str, int]]:
    """A program in which no plugin recognises anything, and where its functions are."""
    path = programs.path("trial")
    symbols = {
        name: int(address, 16)
        for address, kind, name in (
            line.split()
            for line in subprocess.check_output(["nm", "--defined-only", path], text=True).splitlines()
        )
    }
    copy = tmp_path / "t-stripped"
    shutil.copy(path, copy)
    subprocess.run(["strip", "-s", copy], check=True)
    return copy, symbols


@pytest.fixture
def program(stripped: tuple[Path, dict[str, int]]) -> Iterator[Program]:
    with own_library.run(stripped[0]) as running:
        yield running


def trace(program: Program, given: list[GivenAddress], *orders: str) -> tuple[list[TraceRecord], list[str]]:
    """What is shown while the program obeys, and what the user is told."""
    messages: list[str] = []
    options = Options(Filters(pids=frozenset([program.pid]), libraries=MEANT), given=given)
    with Session(Registry.load(third_party=()), options, messages.append) as session:
        for order in orders:
            program.do(order)
        session.stop()
        return list(session.records()), messages


def test_right_ones_are_traced(program: Program, stripped: tuple[Path, dict[str, int]]) -> None:
    path, symbols = stripped
    given = [
        GivenAddress(str(path), "SSL_read", symbols["trial_read"]),
        GivenAddress(str(path), "SSL_write", symbols["trial_write"]),
    ]
    records, messages = trace(program, given, f"write {SIZE} 1", f"read {SIZE} 1")
    assert shown(records) == [
        ("SSL_write", "write", payload(SIZE)),
        ("SSL_read", "read", payload(SIZE)),
    ]
    assert messages == []


def test_wrong_ones_are_withdrawn(program: Program, stripped: tuple[Path, dict[str, int]]) -> None:
    path, symbols = stripped
    given = [
        GivenAddress(str(path), "SSL_read", symbols["trial_read_more"]),
        GivenAddress(str(path), "SSL_write", symbols["trial_write"]),
    ]
    records, messages = trace(program, given, f"read_more {SIZE} 1", f"write {SIZE} 1")
    assert shown(records) == []
    (message,) = messages
    assert f"BoringSSL, {path}: its probes are withdrawn" in message and "SSL_read does not behave" in message


def test_one_direction_is_not_enough(program: Program, stripped: tuple[Path, dict[str, int]]) -> None:
    path, symbols = stripped
    given = [GivenAddress(str(path), "SSL_read", symbols["trial_read"])]
    options = Options(Filters(pids=frozenset([program.pid]), libraries=MEANT), given=given)
    with Session(Registry.load(third_party=()), options) as session:
        (problem,) = [one for one in session.coverage.problems if str(path) in one]
        assert "no function to write with was found" in problem and "--at FILE:FUNCTION=ADDRESS" in problem


def test_one_inside_a_function_is_refused_before_anything_is_attached(
    program: Program, stripped: tuple[Path, dict[str, int]]
) -> None:
    path, symbols = stripped
    given = [GivenAddress(str(path), "SSL_read", symbols["trial_read"] + 1)]
    options = Options(Filters(pids=frozenset([program.pid]), libraries=MEANT), given=given)
    with (
        pytest.raises(UsageError, match="is inside a function"),
        Session(Registry.load(third_party=()), options),
    ):
        pass
    assert not program.probed("where read")


def test_a_file_that_is_no_program_is_refused(program: Program, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    given = [GivenAddress(str(script), "SSL_read", 4096)]
    options = Options(Filters(pids=frozenset([program.pid]), libraries=MEANT), given=given)
    with (
        pytest.raises(UsageError, match="script: an address was given for it, but it is no program"),
        Session(Registry.load(third_party=()), options),
    ):
        pass
