"""Scenarios, played one after another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tlstap.conformance import runner

DRIVER = """
import os, signal, sys, time
if sys.argv[-1] == "slow":
    time.sleep(600)
if sys.argv[-1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
print(sys.argv[1:], os.environ["WORD"])
sys.exit(3 if sys.argv[-1] == "bad" else 0)
"""


def play(folder: Path, program: list[str], *scenarios: str) -> list[dict[str, object]]:
    plan = folder / "plan.json"
    given = {"program": program, "scenarios": scenarios, "environment": {"WORD": "word"}}
    plan.write_text(json.dumps({**given, "folder": str(folder), "seconds": 0.5}))
    subprocess.run([sys.executable, "-I", runner.__file__, str(plan)], check=True)
    results = json.loads((folder / runner.RESULTS).read_text())
    assert [result["scenario"] for result in results] == list(scenarios)
    starts = [result["start_ns"] for result in results]
    assert starts == sorted(starts)
    return results  # type: ignore[no-any-return]


def test_each_scenario_in_a_process_of_its_own(tmp_path: Path) -> None:
    results = play(tmp_path, [sys.executable, "-c", DRIVER, "own"], "good", "bad", "killed", "slow")
    outcomes = [(result["status"], result["problem"]) for result in results]
    assert outcomes == [(0, ""), (3, ""), (-9, ""), (None, "did not end within 0.5 seconds")]
    assert len({result["pid"] for result in results}) == 4
    assert (tmp_path / "good.out").read_text() == "['own', 'good'] word\n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    [result] = play(tmp_path, [str(tmp_path / "driver")], "good")
    assert (result["pid"], result["problem"]) == (0, "can't be run: No such file or directory")
