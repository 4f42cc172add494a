"""`python -m bench.run` (root): what tracing costs, beside sslsniff and bpftrace; prints Markdown tables.

Untraced and each tool take turns (A B C A B C ...), so that whatever else the machine does meets all of them;
the tables show medians. Rates are given as ratio to the untraced run of the same turn.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.support.certificates import make_certificates
from tests.support.curl import curl_command
from tests.support.fixtures import system_library
from tests.support.nginx import BIG_SIZE, Nginx, run_nginx

from bench.load import CONNECTIONS, download, private_libraries, wrk
from bench.processes import cpu_seconds
from bench.running import Measured, running, seconds_to_first_event
from bench.tools import TOOLS, Target, Tool, headers_for_bcc

DOWNLOADS = 3
"""Downloads in one run, of 64 MiB each."""


@dataclass(frozen=True)
class Load:
    """One kind of load. `run` returns (rate, requests, response bytes of the body, at least)."""

    title: str
    unit: str
    target: Target
    direction: str
    load_pids: tuple[int, ...]
    run: Callable[[], tuple[float, int, int]]


@dataclass(frozen=True)
class Row:
    """One run: a tool's, or the untraced one, whose `measured` is None."""

    rate: float
    ratio: float
    requests: int
    body_bytes: int
    load_cpu: float
    measured: Measured | None


def run_load(load: Load, tool: Tool | None, witness: int, folder: Path, untraced: float) -> Row:
    """One run of the load, under a tool or without."""
    if tool is None:
        before = cpu_seconds(load.load_pids)
        rate, requests, size = load.run()
        return Row(rate, 1.0, requests, size, cpu_seconds(load.load_pids) - before, None)
    with running(tool, load.target, witness, folder, load.direction) as measured:
        before = cpu_seconds(load.load_pids)
        rate, requests, size = load.run()
        used = cpu_seconds(load.load_pids) - before
    return Row(rate, rate / untraced, requests, size, used, measured)


def compare(
    load: Load, tools: Sequence[Tool], witness: int, folder: Path, rounds: int
) -> dict[str, list[Row]]:
    """All tools in turn, `rounds` times."""
    rows: dict[str, list[Row]] = {"untraced": [], **{tool.name: [] for tool in tools}}
    for number in range(rounds):
        base = run_load(load, None, witness, folder, 0.0)
        rows["untraced"].append(base)
        for tool in tools:
            print(f"{load.title}: round {number + 1}, {tool.name}", file=sys.stderr)
            rows[tool.name].append(run_load(load, tool, witness, folder, base.rate))
    return rows


def print_table(load: Load, rows: dict[str, list[Row]]) -> None:
    """Medians as Markdown."""
    print(f"\n### {load.title}\n")
    print(
        f"| | {load.unit} | ratio | calls captured / requests | bytes captured / served | lost "
        "| CPU per request, load | CPU per request, tool | peak memory | exit |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, runs in rows.items():
        cells = [f"{median(run.rate for run in runs):,.0f}", f"{median(run.ratio for run in runs):.2f}"]
        tools = [(run, run.measured) for run in runs if run.measured]
        cells.append(_ratio([(each.captured.calls, run.requests) for run, each in tools]))
        cells.append(_ratio([(each.captured.bytes, run.body_bytes) for run, each in tools]))
        lost = [each.captured.lost for _, each in tools if each.captured.lost is not None]
        cells.append(f"{median(lost):,.0f}" if lost else "")
        cells.append(_microseconds([run.load_cpu / run.requests for run in runs]))
        cells.append(_microseconds([each.cpu_seconds / run.requests for run, each in tools]))
        cells.append(f"{median(each.peak_bytes for _, each in tools) / 1e6:,.0f} MB" if tools else "")
        cells.append(f"{median(each.exit_seconds for _, each in tools):.2f} s" if tools else "")
        print(f"| {name} | {' | '.join(cells)} |")


def _ratio(pairs: Sequence[tuple[int | None, int]]) -> str:
    known = [part / whole for part, whole in pairs if part is not None]
    return f"{median(known):.3f}" if known else ""


def _microseconds(seconds: Sequence[float]) -> str:
    return f"{median(seconds) * 1e6:,.0f} us" if seconds else ""


def small_answers(nginx: Nginx, path: str, size: int, seconds: float, libraries: Path) -> Load:
    """wrk against nginx, which is traced."""

    def run() -> tuple[float, int, int]:
        result = wrk(nginx, path, seconds, libraries)
        return result.rate, result.requests, result.requests * size

    target = Target("nginx", tuple(nginx.workers), system_library("libssl.so.3").resolve())
    title = f"nginx, bodies of {size} bytes, {CONNECTIONS} connections"
    return Load(title, "requests/s", target, "write", tuple(nginx.workers), run)


def downloads(nginx: Nginx) -> Load:
    """curl, which is traced, fetches a large file."""

    def run() -> tuple[float, int, int]:
        seconds = sum(download(nginx) for _ in range(DOWNLOADS))
        return DOWNLOADS * BIG_SIZE / 1e6 / seconds, DOWNLOADS, DOWNLOADS * BIG_SIZE

    target = Target("curl", (), system_library("libssl.so.3").resolve())
    return Load("curl, download of 64 MiB", "MB/s", target, "read", (os.getpid(),), run)


def print_starts(nginx: Nginx, tools: Sequence[Tool], folder: Path, rounds: int) -> None:
    """Time to the first event, with a request made all the time."""
    target = Target("curl", (), system_library("libssl.so.3").resolve())
    request = curl_command(nginx, nginx.url("/bytes64"))
    print("\n### Start\n\n| | to the first event |\n|---|---|")
    times: dict[str, list[float]] = {tool.name: [] for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            # JSON holds the body as base64.
            marker = b"eHh4eHh4" if "json" in tool.name else b"xxxxxxxx"
            times[tool.name].append(seconds_to_first_event(tool, target, request, marker, folder))
    for name, seconds in times.items():
        print(f"| {name} | {median(seconds):.2f} s |")


def print_machine() -> None:
    """What it was measured on."""
    versions = [
        subprocess.run(command, capture_output=True, text=True, check=False)
        for command in (["nginx", "-v"], ["wrk", "-v"], ["curl", "--version"], ["bpftrace", "--version"])
    ]
    said = [(result.stdout + result.stderr).splitlines()[0] for result in versions]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; {'; '.join(said)}")


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each tool has its turn (3)")
    parser.add_argument("--seconds", type=float, default=5, help="how long wrk runs (5)")
    parser.add_argument("--tool", action="append", help="only tools whose name contains this")
    parser.add_argument("--load", action="append", help="only loads whose title contains this, or 'start'")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.exit(1, "tracing needs root: run `make bench`\n")
    tools = [tool for tool in TOOLS if not options.tool or any(part in tool.name for part in options.tool)]

    def wanted(title: str) -> bool:
        return not options.load or any(part in title for part in options.load)

    # A tool started by a process that ignores SIGINT would ignore it too, and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print_machine()
    with tempfile.TemporaryDirectory(prefix="tlstap-bench-") as name:
        folder = Path(name)
        for sub in ("certificates", "traced", "untraced", "work"):
            (folder / sub).mkdir()
        headers_for_bcc(folder / "work/headers")
        libraries = private_libraries(folder / "libraries")
        certificates = make_certificates(folder / "certificates")
        with (
            run_nginx(folder / "traced", certificates, workers=2) as traced,
            run_nginx(folder / "untraced", certificates, workers=2, libraries=libraries) as untraced,
        ):
            witness = traced.workers[0]
            small = [("/bytes64", 64), ("/bytes1k", 1024)]
            loads = [small_answers(traced, path, size, options.seconds, libraries) for path, size in small]
            for load in [*loads, downloads(untraced)]:
                if wanted(load.title):
                    print_table(load, compare(load, tools, witness, folder / "work", options.rounds))
            if wanted("start"):
                print_starts(untraced, tools, folder / "work", options.rounds)


if __name__ == "__main__":
    main()
