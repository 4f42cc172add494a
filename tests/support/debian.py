"""Debian packages of other suites, fetched by apt without touching the machine's own packages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.cache import cached

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Unpacked:
    """Packages unpacked into a folder of the cache, which is laid out like a root file system."""

    root: Path

    def find(self, pattern: str) -> list[Path]:
        """The files whose name matches the pattern, sorted by path."""
        return sorted(file for file in self.root.rglob(pattern) if not file.is_dir())

    @property
    def library_path(self) -> str:
        """For --library-path or LD_LIBRARY_PATH."""
        folders = {file.parent for file in self.find("lib*.so.*") if file.parent.name.endswith("-linux-gnu")}
        return ":".join(sorted(str(folder) for folder in folders))

    def command(self, program: str | Path, *arguments: str | Path) -> list[str]:
        """A command that runs a program with these packages' libraries, C library and linker.

        The process's executable is the linker then. The C library must be among the packages.
        """
        loader = self.find("ld-linux-*.so.*")[0]
        return [str(loader), "--library-path", self.library_path, str(program), *map(str, arguments)]


def unpacked(
    name: str, suites: Sequence[str], packages: Sequence[str], dependencies: bool = True
) -> Unpacked:
    """The packages' files, from the cache or, if it has none of that name, from the network.

    :param name: the folder's name in the cache; another choice of packages needs another name.
    :param suites: Debian suites that are looked into together, such as trixie and trixie-security, for the
        newest version; if the last one is experimental, that is preferred.
    :param dependencies: also all that they depend on, as on an empty machine; without it, only they.
    :raises RuntimeError: they can't be fetched; the message says why.
    """
    return Unpacked(cached(name, lambda folder: _fetch(folder, suites, packages, dependencies)))


def _fetch(folder: Path, suites: Sequence[str], packages: Sequence[str], dependencies: bool) -> Path:
    """Download and unpack; the folder with the files."""
    options = private_apt(folder, suites)
    run(["apt-get", *options, "-qq", "update"])
    downloads = folder / "cache/archives"
    if dependencies:
        target = ["-t", suites[-1]] if suites[-1] == "experimental" else []
        install = ["--no-install-recommends", "--download-only", "install"]
        run(["apt-get", *options, "-qq", "-y", *target, *install, *packages])
    else:
        run(["env", "-C", str(downloads), "apt-get", *options, "-qq", "download", *packages])
    root = folder / "root"
    root.mkdir(mode=0o755)
    for file in downloads.glob("*.deb"):
        run(["dpkg-deb", "--extract", str(file), str(root)])
    root.chmod(0o755)
    return root


def private_apt(folder: Path, suites: Sequence[str]) -> list[str]:
    """Options for an apt that knows only these suites and leaves the machine's own state alone."""
    mirrors = _mirrors() if suites else {}
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
    """What a command prints.

    :raises RuntimeError: with what it says on stderr, if it fails.
    """
    environment = {**os.environ, "LC_ALL": "C", "OPENSSL_CONF": "/dev/null"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr.strip()}")
    return result.stdout
