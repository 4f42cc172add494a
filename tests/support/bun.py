"""Bun, which has BoringSSL inside and no symbols of it: a package of npm's."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import node

VERSION = "1.4.5"
_MACHINES = {"x86_64": "x64", "aarch64": "aarch64"}


def available() -> Path:
    """The program, fetched if the cache has none.

    :raises RuntimeError: it can't be fetched; the message says why.
    """
    package = f"@oven/bun-linux-{_MACHINES[os.uname().machine]}"
    return node.available().npm_package(package, VERSION) / "bin/bun"
