"""OpenSSL in versions that this machine does not have, from other Debian suites.

`python -m tests.support.openssl` fetches them all (about 60 MB, 120 MB unpacked) into the cache, which needs
the network once; afterwards nothing is fetched. The mirrors are those of the machine's own apt sources. Each
version brings its own C library and dynamic linker, so the programs run on any host.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import cache_folder, private_apt, run


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


def available(suite: Suite) -> OpenSsl:
    """The version, fetched if the cache has none.

    :raises RuntimeError: if it can't be fetched or is not what it should be; the message says why.
    """
    root = cache_folder() / f"openssl-{suite.name}"
    if not (root / "usr/bin/openssl").exists():
        _fetch(suite, root)
    found = OpenSsl(suite.name, "", root)
    output = run(found.openssl("version"))
    match = re.match(r"OpenSSL (\S+)", output)
    if not match or not suite.version.match(match[1]):
        raise RuntimeError(
            f"{root}: expected OpenSSL {suite.version.pattern}, found {output!r}; remove that folder"
        )
    return OpenSsl(suite.name, match[1], root)


def _fetch(suite: Suite, root: Path) -> None:
    """Download `openssl` and all it depends on as on an empty machine, and unpack it to `root`."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=root.parent) as name:
        folder = Path(name)
        options = private_apt(folder, suite.suites)
        run(["apt-get", *options, "-qq", "update"])
        target = ["-t", suite.suites[-1]] if suite.suites[-1] == "experimental" else []
        run(
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
            run(["dpkg-deb", "--extract", str(package), str(unpacked)])
        if not (unpacked / "usr/bin/openssl").exists():
            raise RuntimeError(
                f"OpenSSL {suite.name}: no openssl in {[package.name for package in packages]}"
            )
        unpacked.chmod(0o755)
        shutil.rmtree(root, ignore_errors=True)
        unpacked.rename(root)


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
