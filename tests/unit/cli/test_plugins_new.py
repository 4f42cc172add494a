"""tlstap plugins new: what it writes is a plugin that works, and nothing is overwritten."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.support.examples import Example, install, run

from tlstap.cli import main

ROOT = Path(__file__).parents[3]
KINDS = {"library": [], "protocol": ["--protocol"]}
NAMES = {"library": "acme-tls", "protocol": "wire2"}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture(scope="module")
def written(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The skeleton."""
    into = tmp_path_factory.mktemp(kind)
    assert main(["plugins", "new", NAMES[kind], *KINDS[kind], "--into", str(into)]) == 0
    [folder] = into.iterdir()
    return folder


@pytest.fixture(scope="module")
def installed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return install(written, tmp_path_factory.mktemp("installed"))


def test_files(written: Path, kind: str) -> None:
    module = f"tlstap_{NAMES[kind]}".replace("-", "_")
    assert written.name == f"tlstap-{NAMES[kind]}"
    assert {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()} == {
        "README.md",
        "pyproject.toml",
        f"src/{module}/__init__.py",
        f"src/{module}/py.typed",
        "tests/test_plugin.py",
    }
    assert not any("$" in path.read_text() for path in written.rglob("*") if path.is_file())


def test_its_own_tests_pass(installed: Example) -> None:
    last = installed.run_own_tests()
    assert " passed in " in last
    assert "failed" not in last


def test_tlstap_finds_it(installed: Example, kind: str) -> None:
    name = NAMES[kind]
    document = json.loads(installed.plugins("--json"))
    assert name not in [failed["name"] for failed in document["failed"]]
    [plugin] = [plugin for plugin in document["plugins"] if plugin["name"] == name]
    assert plugin == {
        "name": name,
        "distribution": f"tlstap-{name}",
        "version": "0.1.0",
        "libraries": [name] if kind == "library" else [],
        "protocols": [name] if kind == "protocol" else [],
        "body formats": [],
        "formats": [],
    }


def test_style(written: Path) -> None:
    rules = "E,F,W,I,B,UP,SIM,RUF,C4,N,A"
    options = ["--no-cache", "--config", str(written / "pyproject.toml")]
    check = ["check", *options, "--select", rules, "."]
    assert "All checks passed" in run([sys.executable, "-m", "ruff", *check], folder=written)
    layout = ["format", *options, "--check", "."]
    assert "already formatted" in run([sys.executable, "-m", "ruff", *layout], folder=written)


def test_types(written: Path, installed: Example, tmp_path: Path) -> None:
    environment = {**installed.environment, "MYPYPATH": f"{ROOT / 'core'}:{written / 'src'}"}
    options = ["--strict", "--cache-dir", str(tmp_path), "--follow-imports", "silent"]
    command = [sys.executable, "-m", "mypy", *options, "src", "tests"]
    assert "Success: no issues found" in run(command, environment, written)


def test_nothing_is_overwritten(written: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    (written / "README.md").unlink()
    assert main(["plugins", "new", NAMES[kind], "--into", str(written.parent)]) == 2
    assert f"{written} exists already; nothing is overwritten\n" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    assert after == {path: content for path, content in before.items() if path.name != "README.md"}
    (written / "README.md").write_bytes(before[written / "README.md"])


def test_it_says_what_is_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "tlstap-acme", "--into", str(tmp_path / "new")]) == 0
    folder = tmp_path / "new/tlstap-acme"
    out, error = capsys.readouterr()
    assert out.splitlines() == [
        f"written to {folder}; next:",
        f"    pip install -e '{folder}[dev]'    into the environment in which tlstap is",
        f"    pytest {folder}",
        f"then change {folder}/src/tlstap_acme/__init__.py",
    ]
    assert error == ""


@pytest.mark.parametrize(
    "name", ["", "tlstap-", "Acme", "9acme", "acme-", "a--b", "a/b", "../acme", "a" * 33]
)
def test_bad_names(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "--into", str(tmp_path), "--", name]) == 2
    assert f"{name.removeprefix('tlstap-')!r} is no name for a plugin" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "owner"), [("openssl", "openssl"), ("aws-lc", "boringssl"), ("http2", "protocols")]
)
def test_names_that_are_taken(
    name: str, owner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "new", name, "--into", str(tmp_path)]) == 2
    assert f"the name {name!r} is taken by plugin {owner} of tlstap\n" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["plugins", "new", "acme", "--into", str(tmp_path / "file")]) == 1
    assert "can't write" in capsys.readouterr().err
