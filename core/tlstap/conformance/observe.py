"""Runs a driver under tracing: what it says, and what was seen, scenario by scenario."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tlstap.conformance import runner
from tlstap.conformance.scenarios import CERTIFICATE_VARIABLE, KEY_VARIABLE
from tlstap.conformance.traced import Collector, Traced
from tlstap.errors import TlstapError
from tlstap.library import Library
from tlstap.registry import Registry
from tlstap.tracing.filters import Filters
from tlstap.tracing.options import Options, Summary
from tlstap.tracing.session import Session

HERE = Path(__file__).parent
DRIVER_HEADER = HERE / "driver.h"
CERTIFICATE, KEY = HERE / "certificate.pem", HERE / "key.pem"
"""For a driver's server. The key is public, so it protects nothing."""

BUFFER_BYTES = 64 << 20
_MOST_OUTPUT = 16 << 20
_MOST_ERRORS = 64 << 10
_NO_PROBLEM = ("also tracing ", "detached; ")
"""How lines begin that a trace says when all is well."""


@dataclass(slots=True)
class Played:
    """A scenario that was played; `problem` says why the driver's word does not count."""

    scenario: str
    output: bytes
    problem: str
    traced: list[Traced] = field(default_factory=list)


@dataclass(slots=True)
class Observation:
    """All scenarios, and what the trace said about itself."""

    played: list[Played]
    overflowed: bool
    summary: Summary
    problems: list[str]
    files: list[str]
    """Files in which the library is probed."""


@dataclass(slots=True)
class _Result:
    scenario: str
    pid: int
    start_ns: int
    status: int | None
    problem: str


def observe(
    registry: Registry,
    library: Library,
    program: Sequence[str],
    files: Sequence[str],
    scenarios: Sequence[str],
    seconds: float,
) -> Observation:
    """Play the scenarios, traced with this library's probes only.

    :param files: to be probed from the start.
    :param seconds: the most that a scenario may take.
    :raises TlstapError: tracing can't begin.
    """
    with tempfile.TemporaryDirectory(prefix="tlstap-check-") as name:
        folder = Path(name)
        plan = folder / "plan.json"
        plan.write_text(
            json.dumps(
                {
                    "program": list(program),
                    "scenarios": list(scenarios),
                    "environment": {CERTIFICATE_VARIABLE: str(CERTIFICATE), KEY_VARIABLE: str(KEY)},
                    "folder": name,
                    "seconds": seconds,
                }
            )
        )
        options = Options(
            Filters(libraries=frozenset([library.name])),
            buffer_bytes=BUFFER_BYTES,
            command=(sys.executable, "-I", str(Path(runner.__file__)), str(plan)),
            files=files,
        )
        collector = Collector()
        told: list[str] = []
        with Session(registry, options, told.append) as session:
            collector.take_all(session.records())
            coverage = session.coverage
        results = _results(folder)
        played = [_played(folder, result) for result in results]
    _assign(collector.connections, results, played)
    probed = [one.image.path for one in coverage.images]
    problems = [
        line
        for line in dict.fromkeys([*coverage.problems, *told])
        if not line.startswith(_NO_PROBLEM) and not _is_about_another_file(line, {*files, *probed})
    ]
    return Observation(played, collector.overflowed, session.summary, problems, probed)


def _is_about_another_file(line: str, files: Collection[str]) -> bool:
    """Whether a problem is one of a file on this machine that has nothing to do with the driver."""
    path, colon, _ = line.partition(": ")
    if not colon or not path.startswith("/"):
        return False
    return os.path.realpath(path) not in {os.path.realpath(file) for file in files}


def _results(folder: Path) -> list[_Result]:
    try:
        return [_Result(**result) for result in json.loads((folder / runner.RESULTS).read_text())]
    except (OSError, ValueError):
        raise TlstapError("the scenarios were not played to the end") from None


def _played(folder: Path, result: _Result) -> Played:
    with (folder / f"{result.scenario}.out").open("rb") as file:
        output = file.read(_MOST_OUTPUT)
    with (folder / f"{result.scenario}.err").open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_ERRORS))
        errors = file.read().decode("utf-8", "replace")
    problem = result.problem
    if not problem and result.status != 0:
        status = result.status if result.status is not None else -1
        problem = f"exit status {status}" if status >= 0 else f"ended by signal {-status}"
    if problem and errors.strip():
        problem += f": {errors.strip().splitlines()[-1]}"
    return Played(result.scenario, output, problem)


def _assign(connections: Sequence[Traced], results: Sequence[_Result], played: Sequence[Played]) -> None:
    """Each connection to its scenario: by its process, or by the time, if a child of the driver's made it."""
    by_pid = {result.pid: one for result, one in zip(results, played, strict=True)}
    for traced in connections:
        one = by_pid.get(traced.pid)
        if one is None:
            begun = [
                each
                for result, each in zip(results, played, strict=True)
                if result.start_ns <= traced.time_ns
            ]
            one = begun[-1] if begun else played[0]
        one.traced.append(traced)
