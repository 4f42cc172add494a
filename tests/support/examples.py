"""The distributions in examples/, and others like them, installed beside this checkout's tlstap."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.tracer import TLSTAP

EXAMPLES = Path(__file__).parents[2] / "examples"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")


@dataclass(frozen=True)
class Example:
    """An installed distribution. `sources` is a copy of what it was made from; with `environment`, Python
    finds it."""

    sources: Path
    site: Path
    environment: Mapping[str, str]

    def run_own_tests(self) -> str:
        """Run the distribution's own tests on what is installed; pytest's last line."""
        options = ["-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir", "."]
        return self._run([sys.executable, "-m", "pytest", *options, "tests"]).splitlines()[-1]

    def plugins(self, *options: str) -> str:
        """What `tlstap plugins` prints."""
        return self._run([str(TLSTAP), "plugins", *options])

    def _run(self, command: list[str]) -> str:
        return run(command, self.environment, self.sources)


def install(distribution: str | Path, folder: Path) -> Example:
    """Install a distribution with pip into a folder of its own inside `folder`.

    :param distribution: the name of an example, or a folder. Building leaves files, so a copy is used.
    """
    sources, site = folder / "sources", folder / "site"
    shutil.copytree(EXAMPLES / distribution, sources, ignore=_IGNORED)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(sources)])
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(site), *([before] if before else [])])
    return Example(sources, site, {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"})


def run(command: list[str], environment: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """Run a command, which must succeed; what it prints."""
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
