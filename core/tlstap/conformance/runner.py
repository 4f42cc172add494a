"""Runs a driver's scenarios one after another. A program of its own, since the tracer traces a command and
its children; it needs nothing but the standard library.

    python runner.py PLAN: a JSON file with program, scenarios, environment, folder and seconds
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

RESULTS = "results.json"


def main(plan_path: str) -> None:
    """Leave, in the plan's folder, each scenario's output and errors, and RESULTS."""
    plan = json.loads(Path(plan_path).read_text())
    folder = Path(plan["folder"])
    results = []
    for scenario in plan["scenarios"]:
        result = {"scenario": scenario, "pid": 0, "start_ns": time.time_ns(), "status": None, "problem": ""}
        with (
            (folder / f"{scenario}.out").open("wb") as output,
            (folder / f"{scenario}.err").open("wb") as errors,
        ):
            try:
                process = subprocess.Popen(
                    [*plan["program"], scenario],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env={**os.environ, **plan["environment"]},
                )
            except OSError as error:
                result["problem"] = f"can't be run: {error.strerror}"
            else:
                result["pid"] = process.pid
                try:
                    result["status"] = process.wait(plan["seconds"])
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    result["problem"] = f"did not end within {plan['seconds']} seconds"
        results.append(result)
    (folder / RESULTS).write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1])
