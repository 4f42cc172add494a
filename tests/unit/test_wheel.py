"""The wheel: everything that is needed at run time is in it, in the package, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of the sources: building leaves files beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
    for name in ("core", "plugins", "bpf"):
        shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(sources),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in it."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with its content."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def sources(folder: Path, *suffixes: str) -> set[str]:
    """The source files in a folder, relative to it."""
    found = (
        path for path in folder.rglob("*") if path.suffix in suffixes and "__pycache__" not in path.parts
    )
    return {str(path.relative_to(folder)) for path in found}


def test_only_the_package(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tlstap"}
    assert {name for name in names if "test" in name or "__pycache__" in name} == {"tlstap/testing.py"}


def test_every_source_is_in_it(names: set[str]) -> None:
    package = {f"tlstap/{name}" for name in sources(ROOT / "core/tlstap", ".py", ".h", ".in", ".pem")}
    plugins = {f"tlstap/plugins/{name}" for name in sources(ROOT / "plugins", ".py", ".h", ".c")}
    bpf = {f"tlstap/bpf/{name}" for name in sources(ROOT / "bpf", ".h")}
    assert {"tlstap/tracing/engine.py", "tlstap/plugins/openssl/openssl.h"} <= package | plugins
    assert "tlstap/bpf/include/include/linux/kconfig.h" in bpf
    expected = package | plugins | bpf | {"tlstap/py.typed"}
    assert {name for name in names if name.startswith("tlstap/")} == expected


def test_the_command(unpacked: Path) -> None:
    (info,) = unpacked.glob("*.dist-info")
    entry_points = ConfigParser()
    entry_points.read(info / "entry_points.txt")
    assert dict(entry_points["console_scripts"]) == {"tlstap": "tlstap.cli:main"}
    assert entry_points.sections() == ["console_scripts"], "built-in plugins are no entry points"


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import tlstap
from tlstap.registry import Registry
from tlstap.tracing.plan import ProbeTable
from tlstap.tracing.program import program_text
assert tlstap.__file__.startswith(sys.argv[1]), tlstap.__file__
registry = Registry.load(third_party=())
libraries = list(registry.libraries.values())
snippets = dict(registry.snippet(library) for library in libraries if library.snippet)
text = program_text(ProbeTable(libraries), snippets, cookies=True)
print("openssl_sets_server_name" in text, '#line 1 "bpf/event.h"' in text, "struct event_header" in text)
"""


def test_it_works_from_where_it_was_unpacked(unpacked: Path) -> None:
    command = [sys.executable, "-I", "-c", SCRIPT, str(unpacked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert (done.stdout, done.stderr) == ("True True True\n", "")
