"""`python -m bench.discovery` (needs firefox-esr and chromium): how long it takes to find TLS code in files.

Cold is without tlstap's cache, the files being in the page cache; cached is the next start. Memory is the
anonymous memory of a process that does it cold, at its highest. Prints a Markdown table of medians.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.support import firefox
from tests.support.fixtures import system_library

from tlstap.discovery.cache import ReportCache
from tlstap.discovery.scan import Scanner
from tlstap.registry import Registry

TURNS = 5
CHROMIUM = Path("/usr/lib/chromium/chromium")


def mapped_by_firefox() -> list[Path]:
    """The files with code that Firefox maps: its program, its own libraries and what these need."""
    installed = firefox.installed()
    own = [installed.executable.resolve(), *sorted(installed.folder.glob("*.so"))]
    needed: set[Path] = set()
    for file in own:
        listed = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
        needed.update(Path(path).resolve() for path in re.findall(r"=> (/\S+)", listed))
    return own + sorted(needed - {file.resolve() for file in own})


def seconds(files: Sequence[Path]) -> float:
    """How long a scan of the files takes, with everything that a start needs for it."""
    began = time.perf_counter()
    registry = Registry.load(third_party=())
    libraries = registry.libraries.values()
    with Scanner(libraries, registry.locate, ReportCache(libraries)) as scanner:
        scanner.scan_files([str(file) for file in files])
        ended = time.perf_counter()
    return ended - began


def anonymous_memory(files: Sequence[Path]) -> float:
    """The most that a process of its own has while it scans the files, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.discovery", "--memory", *map(str, files)]
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        return float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)


def measure_memory(files: Sequence[Path]) -> None:
    """Scan the files, and print the most anonymous memory that this process had meanwhile, in MB."""
    most = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.002):
            status = Path("/proc/self/status").read_text()
            found = re.search(r"^RssAnon:\s*(\d+) kB", status, re.MULTILINE)
            most = max(most, int(found[1]) / 1000 if found else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds(files)
    done.set()
    watcher.join()
    print(most)


def row(name: str, files: Sequence[Path]) -> str:
    """A line of the table."""
    cold, cached = [], []
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            cold.append(seconds(files))
            cached.append(seconds(files))
    size = sum(file.stat().st_size for file in files)
    return (
        f"| {name} | {len(files)} | {size / 1e6:,.1f} MB | {median(cold) * 1000:,.0f} ms "
        f"| {median(cached) * 1000:,.1f} ms | {anonymous_memory(files):,.0f} MB |"
    )


def main() -> None:
    """Print the table."""
    files = mapped_by_firefox()
    libssl3 = firefox.installed().libssl3
    seconds(files)  # imports, and the files into the page cache
    print("| files | number | size | cold | cached | memory |")
    print("|---|---|---|---|---|---|")
    print(row("all that Firefox maps", files))
    print(row("Firefox's libssl3 (NSS)", [libssl3]))
    print(row("the system's libgnutls", [system_library("libgnutls.so.30")]))
    print(row("the system's libssl (OpenSSL)", [system_library("libssl.so.3")]))
    print(row("Chromium, stripped (BoringSSL)", [CHROMIUM]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure_memory([Path(file) for file in sys.argv[2:]])
    else:
        main()
