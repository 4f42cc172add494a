"""Third-party plugins, written down as source text and installed in a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

GOOD = """
import tlstap
LIBRARY = tlstap.Library(
    name="{library}",
    title="{library}",
    recognise=tlstap.Recognise(symbols=("{library}_read",)),
    probes=(
        tlstap.DataProbe(function="{library}_read", direction="read"),
        tlstap.DataProbe(function="{library}_write", direction="write"),
    ),
    {more}
)

@tlstap.hookimpl
def tlstap_libraries():
    return [LIBRARY]
"""


def good(library: str, more: str = "") -> str:
    """Source of a plugin that declares one library."""
    return GOOD.format(library=library, more=more)


class Site:
    """A folder of installed distributions, each with one entry point and one module."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.modules: list[str] = []

    def install(
        self, plugin: str, source: str, *, distribution: str | None = None, package: bool = False
    ) -> str:
        """Install a plugin as a distribution; the distribution's name."""
        distribution = distribution or f"dist-{plugin}"
        module = f"module_{distribution}_{plugin}".replace("-", "_")
        path = self._folder / (f"{module}/__init__.py" if package else f"{module}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
        self.modules.append(module)
        info = self._folder / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        with (info / "entry_points.txt").open("a") as file:
            if not file.tell():
                file.write("[tlstap]\n")
            file.write(f"{plugin} = {module}\n")
        return distribution

    def points(self, *plugins: str) -> list[EntryPoint]:
        """The entry points of these plugins, in this order."""
        found = {point.name: point for point in entry_points(group="tlstap")}
        return [found[plugin] for plugin in plugins]


@contextmanager
def plugin_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Such a folder on this process's path."""
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    made = Site(folder)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)
