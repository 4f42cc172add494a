"""Which libraries the dynamic loader knows, so that they are probed before anybody runs them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection

_LDCONFIG = ("/sbin/ldconfig", "/usr/sbin/ldconfig")
_TIMEOUT = 5.0
_ENTRY = re.compile(r"^\t(\S+) \((libc6,(?:x86-64|AArch64)[^)]*)\) => (/.*)$", re.MULTILINE)


def known_libraries(sonames: Collection[str]) -> list[str]:
    """Paths of the 64-bit libraries whose names begin with one of `sonames`; none without ldconfig (musl)."""
    program = next((path for path in _LDCONFIG if os.access(path, os.X_OK)), None)
    if program is None or not sonames:
        return []
    try:
        result = subprocess.run(
            [program, "-p"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"LC_ALL": "C"},
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse(os.fsdecode(result.stdout), sonames)


def parse(listing: str, sonames: Collection[str]) -> list[str]:
    """The paths in the output of `ldconfig -p`."""
    starts = tuple(sonames)
    return [path for name, _, path in _ENTRY.findall(listing) if name.startswith(starts)]
