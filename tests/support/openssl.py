"""OpenSSL in versions that this machine does not have, from other Debian suites.

`python -m tests.support.openssl` fetches them all (about 60 MB, 120 MB unpacked) into the cache, which needs
the network once; afterwards nothing is fetched. The mirrors are those of the machine's own apt sources. Each
version brings its own C library and dynamic linker, so the programs run on any host.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Suite:
    """Where a version comes from: suites that are looked into together, and the version it has to be."""

    name: str
    suites: tuple[str, ...]
    version: re.Pattern[str]


SUITES = (
    Suite("1.1.1", ("bullseye", "bullseye-security"), re.compile(r"1\.1\.1")),
    Suite("3.5", ("trixie", "trixie-security"), re.compile(r"3\.5\.")),
    Suite("unstable", ("sid",), re.compile(r"3\.[6-9]\.|[4-9]\.")),
    Suite("newest", ("sid", "experimental"), re.compile(r"[4-9]\.")),
)


@dataclass(frozen=True)
class OpenSsl:
    """One unpacked version: `version` as `openssl version` says it."""

    name: str
    version: str
    root: Path

    @property
    def library_path(self) -> str:
        """For --library-path or LD_LIBRARY_PATH."""
        folders = {
            file.parent
            for pattern in ("libssl.so.*", "libc.so.6", "libz.so.1")
            for file in self._find(pattern)
        }
        return ":".join(sorted(str(folder) for folder in folders))

    @property
    def libssl(self) -> Path:
        """The file of libssl."""
        return self._find("libssl.so.*")[0].resolve()

    def _find(self, pattern: str) -> list[Path]:
        return sorted(file for file in self.root.rglob(pattern) if not file.is_dir())

    def command(self, program: str | Path, *arguments: str | Path) -> list[str]:
        """A command that runs a program with this version's libraries, C library and linker."""
        loader = self._find("ld-linux-*.so.*")[0]
        return [str(loader), "--library-path", self.library_path, str(program), *map(str, arguments)]

    def openssl(self, *arguments: str | Path) -> list[str]:
        """A command that runs this version's own `openssl`."""
        return self.command(self.root / "usr/bin/openssl", *arguments)


def cache_folder() -> Path:
    """$TLSTAP_TEST_CACHE, or tlstap-tests in the user's cache folder."""
    given = os.environ.get("TLSTAP_TEST_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tlstap-tests"


def available(suite: Suite) -> OpenSsl:
    """The version, fetched if the cache has none.

    :raises RuntimeError: if it can't be fetched or is not what it should be; the message says why.
    """
    root = cache_folder() / f"openssl-{suite.name}"
    if not (root / "usr/bin/openssl").exists():
        _fetch(suite, root)
    found = OpenSsl(suite.name, "", root)
    output = _run(found.openssl("version"))
    match = re.match(r"OpenSSL (\S+)", output)
    if not match or not suite.version.match(match[1]):
        raise RuntimeError(
            f"{root}: expected OpenSSL {suite.version.pattern}, found {output!r}; remove that folder"
        )
    return OpenSsl(suite.name, match[1], root)


def _mirrors() -> dict[str, str]:
    """URIs of Debian's archive and of its security archive, by label, from the machine's own sources."""
    output = _run(
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


def _fetch(suite: Suite, root: Path) -> None:
    """Download `openssl` and all it depends on as on an empty machine, and unpack it to `root`."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=root.parent) as name:
        folder = Path(name)
        options = _private_apt(folder, suite.suites)
        _run(["apt-get", *options, "-qq", "update"])
        target = ["-t", suite.suites[-1]] if suite.suites[-1] == "experimental" else []
        _run(
            [
                "apt-get",
                *options,
                "-qq",
                "-y",
                *target,
                "--no-install-recommends",
                "--download-only",
                "install",
                "openssl",
            ]
        )
        unpacked = folder / "root"
        packages = list((folder / "cache/archives").glob("*.deb"))
        for package in packages:
            _run(["dpkg-deb", "--extract", str(package), str(unpacked)])
        if not (unpacked / "usr/bin/openssl").exists():
            raise RuntimeError(
                f"OpenSSL {suite.name}: no openssl in {[package.name for package in packages]}"
            )
        unpacked.chmod(0o755)
        shutil.rmtree(root, ignore_errors=True)
        unpacked.rename(root)


def _private_apt(folder: Path, suites: Sequence[str]) -> list[str]:
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


def _run(command: Sequence[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C", "OPENSSL_CONF": "/dev/null"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr.strip()}")
    return result.stdout


def main() -> None:
    """Fetch all versions and say what they are."""
    try:
        for suite in SUITES:
            found = available(suite)
            print(f"OpenSSL {found.version} ({suite.name}) in {found.root}")
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
