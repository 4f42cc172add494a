"""`tlstap plugins new`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from tlstap.cli.command import Command
from tlstap.cli.tables import print_lines
from tlstap.errors import TlstapError, UsageError

PREFIX = "tlstap-"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_MAX_NAME = 32


@click.command(
    "new",
    cls=Command,
    examples=[
        ("tlstap plugins new wolfssl", "a TLS library, in ./tlstap-wolfssl"),
        ("tlstap plugins new mqtt --protocol", "a protocol, in ./tlstap-mqtt"),
    ],
)
@click.argument("name")
@click.option("--protocol", is_flag=True, help="For an application protocol, not for a TLS library.")
@click.option(
    "--into", default=".", metavar="FOLDER", type=click.Path(path_type=Path), help="Where to put it."
)
def command(name: str, protocol: bool, into: Path) -> None:
    """Write the skeleton of a plugin: a distribution of its own, with tests that pass.

    NAME is what the library or protocol is called, in lower case, with or without "tlstap-".
    """
    name = name.removeprefix(PREFIX)
    _check(name)
    folder = into / f"{PREFIX}{name}"
    _write(folder, _texts(name, "protocol" if protocol else "library"))
    print_lines(
        [
            f"written to {folder}; next:",
            f"    pip install -e '{folder}[dev]'    into the environment in which tlstap is",
            f"    pytest {folder}",
            f"then change {folder / 'src' / _module(name) / '__init__.py'}",
        ]
    )


def _check(name: str) -> None:
    """Refuse what can't be a name or is one already."""
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a plugin: it has letters a-z and digits, begins with a letter, "
            f"may have - or _ between them, and at most {_MAX_NAME} characters"
        )
    from tlstap.registry import Registry

    registry = Registry.load()
    for plugin in registry.plugins:
        declared = registry.declared_by(plugin)
        if name in (plugin.name, *declared["libraries"], *declared["protocols"]):
            raise UsageError(f"the name {name!r} is taken by plugin {plugin.name} of {plugin.distribution}")


def _module(name: str) -> str:
    return f"{PREFIX}{name}".replace("-", "_")


def _texts(name: str, kind: str) -> dict[str, str]:
    """The files' contents, by their paths in the distribution."""
    module = _module(name)
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": f"{kind}.md",
        f"src/{module}/__init__.py": f"{kind}.py",
        "tests/test_plugin.py": f"{kind}_checks.py",
    }
    words = {
        "name": name,
        "distribution": f"{PREFIX}{name}",
        "module": module,
        "cname": name.replace("-", "_"),
    }
    skeleton = files("tlstap.skeleton")
    texts = {
        target: Template(skeleton.joinpath(f"{template}.in").read_text("utf-8")).substitute(words)
        for target, template in templates.items()
    }
    return {**texts, f"src/{module}/py.typed": ""}


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files to a folder, which must not exist."""
    try:
        folder.mkdir(parents=True)
        for target, text in texts.items():
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{error.filename} exists already; nothing is overwritten") from None
    except OSError as error:
        raise TlstapError(f"can't write {error.filename}: {error.strerror}") from None
