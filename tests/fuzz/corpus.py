"""The inputs that are kept: each covers something that the others don't. The tests replay them all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.harness import check
from tests.fuzz.targets import TARGETS

MAX_SIZE = 2048
"""Bytes of an input that may be kept."""
MAX_FILES = 60
"""Inputs that are kept of a target."""


def corpus_folder(name: str) -> Path:
    """Where the inputs of a target are."""
    return Path(__file__).parent / "corpora" / name


def inputs(name: str) -> list[Path]:
    """The inputs of a target."""
    return sorted(corpus_folder(name).iterdir())


def replay(name: str, files: Iterable[Path]) -> None:
    """Run inputs again."""
    for file in files:
        check(TARGETS[name], file.read_bytes())
        print(f"{file}: all is well")


def add(name: str, data: bytes) -> Path:
    """Keep an input, under a name that its content gives."""
    folder = corpus_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / hashlib.sha256(data).hexdigest()[:16]
    file.write_bytes(data)
    return file


def keep(name: str, found: Path) -> int:
    """Add to the corpus what covers more than it does; how many inputs there are then."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz.target", name, "-merge=1", folder]
        subprocess.run([*command, str(corpus_folder(name)), str(found)], check=True, capture_output=True)
        fresh = sorted((file.read_bytes() for file in Path(folder).iterdir()), key=len)
    known = {file.read_bytes() for file in inputs(name)}
    for data in fresh:
        if data not in known and len(data) <= MAX_SIZE and len(inputs(name)) < MAX_FILES:
            add(name, data)
    return len(inputs(name))
