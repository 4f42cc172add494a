"""Compiled modules of installed wheels that have a TLS library inside, and copies of them without symbols."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path


def module(name: str) -> Path:
    """The file of a compiled module, as in `curl_cffi._wrapper`."""
    found = importlib.util.find_spec(name)
    assert found is not None, f"there is no module {name}"
    assert found.origin is not None
    return Path(found.origin)


def strip(original: Path, target: Path) -> Path:
    """Copy a program or library to a new file, without its symbols."""
    subprocess.run(["strip", "-s", "-o", target, original], check=True)
    shutil.copymode(original, target)
    return target


def stripped_package(name: str, folder: Path) -> Path:
    """Copy the package of a compiled module, of which the copy has no symbols; that file.

    With the folder in PYTHONPATH, Python imports the copy.
    """
    original = module(name)
    package = name.partition(".")[0]
    [home] = [parent for parent in original.parents if parent.name == package]
    shutil.copytree(home, folder / package, ignore=shutil.ignore_patterns(original.name, "__pycache__"))
    return strip(original, folder / package / original.relative_to(home))
