"""tlstap plugins, and what tlstap refuses before it traces."""

from __future__ import annotations

import importlib.metadata
import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tlstap import registry
from tlstap.cli import main

PLUGIN = """
import tlstap

@tlstap.hookimpl
def tlstap_libraries():
    return [
        tlstap.Library(
            name="wolfssl",
            title="wolfSSL",
            recognise=tlstap.Recognise(symbols=("wolfSSL_read",)),
            probes=(
                tlstap.DataProbe(function="wolfSSL_read", direction="read"),
                tlstap.DataProbe(function="wolfSSL_write", direction="write"),
            ),
        )
    ]
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A plugin that is right and one that is wrong, with hostile words."""
    monkeypatch.syspath_prepend(str(tmp_path))
    points = []
    for name, source in (("wolf", PLUGIN), ("evil", "raise RuntimeError('\\x1b[31mred')")):
        (tmp_path / f"plugin_{name}_of_test.py").write_text(source)
        (info := tmp_path / f"tlstap_{name}-2.5.dist-info").mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tlstap-{name}\nVersion: 2.5\n")
        (info / "entry_points.txt").write_text(f"[tlstap]\n{name} = plugin_{name}_of_test\n")
        (point,) = importlib.metadata.Distribution.at(info).entry_points
        points.append(point)

    def entry_points(*, group: str) -> list[EntryPoint]:
        return points

    monkeypatch.setattr(registry, "entry_points", entry_points)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["plugins", "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_text(installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    out, error = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["PLUGIN", "FROM", "SUPPORTS"]
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:] if line}
    assert rows["openssl"].split(maxsplit=1) == ["tlstap", "libraries openssl, libressl"]
    assert rows["gnutls"].split(maxsplit=1) == ["tlstap", "libraries gnutls"]
    assert rows["nss"].split(maxsplit=1) == ["tlstap", "libraries nss"]
    assert rows["boringssl"].split(maxsplit=1) == ["tlstap", "libraries boringssl, aws-lc"]
    assert rows["wolf"].split(maxsplit=2) == ["tlstap-wolf", "2.5", "libraries wolfssl"]
    assert lines[-1] == ("left out: evil of tlstap-evil, which can't be imported: RuntimeError: \\x1b[31mred")
    assert (error, "\x1b" in out) == ("", False)


def test_json(installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys)
    plugins = {plugin["name"]: plugin for plugin in found["plugins"]}
    assert list(plugins)[:6] == ["openssl", "gnutls", "nss", "boringssl", "protocols", "sinks"]
    assert plugins["openssl"]["libraries"] == ["openssl", "libressl"]
    assert {"text", "json", "hex", "har"} <= set(plugins["sinks"]["formats"])
    assert plugins["wolf"] == {
        "name": "wolf",
        "distribution": "tlstap-wolf",
        "version": "2.5",
        "libraries": ["wolfssl"],
        "protocols": [],
        "body formats": [],
        "formats": [],
    }
    assert found["failed"] == [
        {
            "name": "evil",
            "distribution": "tlstap-evil",
            "reason": "can't be imported: RuntimeError: \x1b[31mred",
        }
    ]
    assert found["excluded"] == []


def test_leaving_out(installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--no-plugin", "evil", "--no-plugin", "openssl")
    assert found["failed"] == []
    assert found["excluded"] == ["evil", "openssl"]
    assert "openssl" not in {plugin["name"] for plugin in found["plugins"]}
    assert main(["plugins", "--no-plugin", "evil"]) == 0
    assert capsys.readouterr().out.endswith("left out as asked for: evil\n")


def test_leaving_out_what_is_not_there(installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--no-plugin", "nonsense"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("tlstap: no plugin 'nonsense' to leave out; known are: boringssl, evil, gnutls, ")


def test_a_left_out_plugin_is_told_of_when_plugins_are_used(
    installed: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "capture.json").write_text("")
    assert main(["replay", str(tmp_path / "capture.json")]) == 0
    error = capsys.readouterr().err
    assert "plugin evil of tlstap-evil is left out: can't be imported: RuntimeError: \\x1b[31mred\n" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--buffer", "much"], "'much' is no size"),
        (["--uid", "nobody-of-that"], "no user 'nobody-of-that'"),
        (["--pid", "abc"], "'abc'"),
        (["--duration", "-1"], "-1"),
        (["--only", "datta"], "no kind 'datta'"),
        (["--attach", "glue"], "'glue'"),
        (["--no-plugin", "nonsense"], "no plugin 'nonsense'"),
        (["--buffer", "all"], "'all' is no size"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert words in error
