"""What is checked without a driver, and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tlstap import registry as registry_module
from tlstap.cli import main
from tlstap.conformance import check
from tlstap.errors import UsageError
from tlstap.hookspecs import hookimpl
from tlstap.library import BirthProbe, DataProbe, FreeProbe, Library, Recognise, VersionString
from tlstap.registry import Registry

READ, WRITE = (
    DataProbe(function="SSL_read", direction="read"),
    DataProbe(function="SSL_write", direction="write"),
)
MARKS = ("SSL_CTX_new", "SSL_read", "SSL_write")

_chosen: list[Library] = []


@hookimpl
def tlstap_libraries() -> Sequence[Library]:
    return _chosen


def plugins(*libraries: Library, exclude: Sequence[str] = ("openssl", "boringssl")) -> Registry:
    """The plugins with one that declares these, in the place of OpenSSL's."""
    _chosen[:] = libraries
    return Registry.load(exclude, third_party=[EntryPoint("mine", __name__, "tlstap")])


def library(*more: DataProbe | FreeProbe | BirthProbe, **changes: object) -> Library:
    given: dict[str, object] = {
        "name": "mine",
        "title": "Mine",
        "recognise": Recognise(symbols=MARKS),
        "probes": (READ, WRITE, *more),
        "sonames": ("libssl.so.3",),
    }
    return Library.model_validate(given | changes)


def lines(registry: Registry, name: str = "mine", files: Sequence[str] = ()) -> list[str]:
    """The report with FILE for the file's path."""
    report = check(name, files=files, registry=registry)
    return [line.replace(str(libssl()), "FILE") for line in report.lines()]


def libssl() -> Path:
    """OpenSSL's file, as ldconfig knows it."""
    from tlstap.discovery.ldcache import known_libraries

    return Path(known_libraries(["libssl.so.3"])[0])


def test_a_declaration_that_is_right() -> None:
    """The file is the one that ldconfig knows by the declaration's sonames."""
    assert lines(plugins(library())) == [
        "ok       declaration: 2 probes of plugin mine, an unknown distribution",
        "ok       file FILE: Mine, its version unknown",
        "ok       file FILE, functions: 2 functions by dynsym",
    ]


def test_functions_that_are_not_there() -> None:
    """One that other versions have does no harm; a kind of probe without any function does."""
    declared = library(
        DataProbe(function="SSL_read_more", direction="read"), FreeProbe(function="SSL_fre", fallbacks=("x",))
    )
    assert lines(plugins(declared))[2:] == [
        "FAILED   file FILE: expected a function for a free probe, found none of SSL_fre",
        "ok       file FILE, functions: 2 functions by dynsym; not there: SSL_read_more (no symbol); "
        "not there: SSL_fre (no symbol); not there: x (no symbol)",
    ]


def test_a_direction_without_a_function() -> None:
    declared = library(probes=(READ, DataProbe(function="SSL_wrote", direction="write")))
    assert lines(plugins(declared))[2] == "FAILED   file FILE: expected a function that writes, found none"


def test_a_version_that_is_not_there() -> None:
    declared = library(version=VersionString(pattern=r"Mine (\d+)"))
    assert lines(plugins(declared))[1:] == [
        r"FAILED   file FILE: expected a version, saw nothing that matches 'Mine (\\d+)'"
    ]


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    declared = library(recognise=Recognise(symbols=("mine_new",)))
    assert lines(plugins(declared))[1:] == [
        "FAILED   file FILE: expected Mine to be recognised, saw no library that a plugin knows"
    ]
    text = lines(plugins(declared, exclude=()))[1]
    assert text == "FAILED   file FILE: expected Mine to be recognised, saw openssl"
    (tmp_path / "text").write_text("no library")
    assert lines(plugins(declared), files=[str(tmp_path / "text")])[1].startswith(
        f"FAILED   file {tmp_path}/text: "
    )


def test_a_file_that_two_plugins_claim() -> None:
    """Neither is probed, so the check can't be right."""
    failures = [line for line in lines(plugins(library(), exclude=())) if line.startswith("FAILED")]
    assert failures
    assert all("FILE" in line for line in failures)
    assert any("openssl" in line and "mine" in line for line in failures)


def test_no_file() -> None:
    assert lines(plugins(library(sonames=("libmine.so",))))[1:] == [
        "FAILED   file: expected a file with the library, saw none; give one with --file"
    ]


def test_a_plugin_that_is_left_out() -> None:
    point = EntryPoint("broken", "tlstap_of_nobody", "tlstap")
    report = check("broken", registry=Registry.load(third_party=[point]))
    assert not report.ok
    [line] = report.lines()
    assert line.startswith(
        "FAILED   declaration: plugin broken of an unknown distribution can't be imported: "
    )


def test_names() -> None:
    other = library(name="other", sonames=(), recognise=Recognise(symbols=("other_new",)))
    assert check("other", registry=plugins(library(), other)).library == "other"
    with pytest.raises(UsageError, match="no library 'nobody'; known are: "):
        check("nobody", registry=plugins(library()))
    with pytest.raises(UsageError, match="plugin sinks declares no library; name one library"):
        check("sinks", registry=plugins(library()))
    with pytest.raises(UsageError, match="no scenario 'nothing'; there are exchange, partial, "):
        check("mine", registry=plugins(library()), scenarios=["nothing"])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin is installed."""
    _chosen[:] = [library()]
    points = [EntryPoint("mine", __name__, "tlstap")]
    monkeypatch.setattr(registry_module, "entry_points", lambda *, group: points)


LEFT_OUT = ("--no-plugin", "openssl", "--no-plugin", "boringssl")


@pytest.mark.usefixtures("installed")
def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "mine", *LEFT_OUT]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in printed] == ["ok       "] * 3
    assert main(["plugins", "check", "mine", "--file", __file__, *LEFT_OUT]) == 1
    assert capsys.readouterr().out.splitlines()[1].startswith(f"FAILED   file {__file__}: ")


@pytest.mark.usefixtures("installed")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "mine", "--json", *LEFT_OUT]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["library"], document["ok"], len(document["checks"])) == ("mine", True, 3)
    assert document["checks"][0] == {
        "name": "declaration",
        "outcome": "ok",
        "text": "2 probes of plugin mine, an unknown distribution",
    }


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "NAME is missing"),
        (["mine", "--program"], "--program needs a program"),
        (["nobody"], "no library 'nobody'"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["plugins", "check", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "--protocol"]) == 0
    printed = capsys.readouterr().out
    assert "conformance/driver.h\n\nScenarios:\n\n  exchange " in printed
