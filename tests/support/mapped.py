"""A process that has a file's code mapped and does nothing with it, so that tlstap knows the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CODE = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    code = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def mapped(file: Path) -> Iterator[None]:
    """Have the file mapped while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.communicate(timeout=20)
