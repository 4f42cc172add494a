"""The inputs that are kept, which the tests replay.

Those that fuzzers found have a name made from their content, and each covers something that the others don't.
Those with other names are there for what they once broke.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.coverage import cover
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
    file = folder / _name(data)
    file.write_bytes(data)
    return file


def keep(name: str, found: Path) -> int:
    """Choose anew from the corpus and what was found; how many inputs there are then."""
    files = [*inputs(name), *found.iterdir()]
    known = {file.read_bytes() for file in files}
    chosen = cover(TARGETS[name], (data for data in known if len(data) <= MAX_SIZE), MAX_FILES)
    for file in inputs(name):
        data = file.read_bytes()
        if data not in chosen and file.name == _name(data):
            file.unlink()
    for data in chosen:
        add(name, data)
    return len(inputs(name))


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
