"""Debian packages of other suites, fetched by apt without touching the machine's own packages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def cache_folder() -> Path:
    """$TLSTAP_TEST_CACHE, or tlstap-tests in the user's cache folder."""
    given = os.environ.get("TLSTAP_TEST_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tlstap-tests"


def private_apt(folder: Path, suites: Sequence[str]) -> list[str]:
    """Options for an apt that knows only these suites and leaves the machine's own state alone."""
    mirrors = _mirrors()
    for sub in ("state/lists/partial", "cache/archives/partial"):
        (folder / sub).mkdir(parents=True)
    (folder / "status").touch()
    lines = []
    for suite in suites:
        uri = mirrors.get("Debian-Security" if suite.endswith("-security") else "Debian")
        if uri:  # without a security archive, the suite's main one has to do
            lines.append(f"deb [signed-by={KEYRING}] {uri} {suite} main\n")
    (folder / "sources.list").write_text("".join(lines))
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        # A mirror that lags behind will do for a test; signatures are checked all the same.
        "Acquire::Check-Valid-Until": "false",
    }
    return [f"-o{key}={value}" for key, value in settings.items()]


def _mirrors() -> dict[str, str]:
    """URIs of Debian's archive and of its security archive, by label, from the machine's own sources."""
    output = run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
            "Origin: Debian",
        ]
    )
    mirrors = dict(line.split("|", 1) for line in output.splitlines())
    if "Debian" not in mirrors:
        raise RuntimeError(
            "no Debian archive among apt's sources (`apt-get indextargets`); run apt-get update"
        )
    return mirrors


def run(command: Sequence[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C", "OPENSSL_CONF": "/dev/null"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr.strip()}")
    return result.stdout
