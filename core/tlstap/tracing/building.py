"""Which libraries are traced, and the engine for them: a plugin whose C is of no use is left out.

The culprit is looked for only when the program does not compile or load as a whole: without any third-party C
first, which is never blamed on a plugin, then with one plugin more each time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tlstap.errors import CompileError, PluginError
from tlstap.library import Library
from tlstap.registry import BUILTIN, Plugin, Registry
from tlstap.tracing.blame import reason
from tlstap.tracing.engine import Engine
from tlstap.tracing.plan import ProbeTable

MAX_SUSPECTS = 16
"""Plugins whose C is tried one by one, at about a second each; those beyond are left out untried."""

MakeEngine = Callable[[ProbeTable, Mapping[str, str], bool], Engine]
"""Makes the engine for these probes and snippets; carefully, if a third party's are among them."""


@dataclass(slots=True)
class Built:
    """The engine, its probes and libraries; `problems` tell which plugins were left out and why."""

    engine: Engine
    table: ProbeTable
    libraries: Sequence[Library]
    problems: list[str] = field(default_factory=list)


def chosen_libraries(registry: Registry, names: Collection[str]) -> list[Library]:
    """The libraries of these names and what stands in for them; all if there are no names.

    :raises UsageError: there is no such library.
    """
    if not names:
        return list(registry.libraries.values())
    chosen = [registry.library(name) for name in sorted(names)]
    stand_ins = [registry.stand_in(library) for library in chosen]
    return chosen + [library for library in stand_ins if library is not None]


def build(registry: Registry, libraries: Sequence[Library], make: MakeEngine) -> Built:
    """The engine for these libraries.

    :raises PluginError: nothing is left to trace.
    :raises TlstapError: what `make` raises, if no plugin is to blame.
    """
    return _Building(registry, libraries, make).build()


class _Building:
    def __init__(self, registry: Registry, libraries: Sequence[Library], make: MakeEngine) -> None:
        self._registry = registry
        self._libraries = list(libraries)
        self._make = make
        self._problems: list[str] = []
        self._snippets: dict[str, dict[str, str]] = {}
        """By plugin, then by file name."""

    def build(self) -> Built:
        self._read_snippets()
        suspects = [
            plugin
            for plugin in self._registry.plugins
            if plugin.distribution != BUILTIN and self._snippets.get(plugin.name)
        ]
        try:
            return self._attempt([])
        except CompileError:
            if not suspects:
                raise
        return self._search(suspects)

    def _search(self, suspects: Sequence[Plugin]) -> Built:
        out = list(suspects)
        built = self._attempt(out) if self._remaining(out) else None
        try:
            for number, plugin in enumerate(suspects):
                if number >= MAX_SUSPECTS:
                    self._leave_out(plugin, "its C was not tried, as that of too many plugins was")
                    continue
                others = [one for one in out if one is not plugin]
                try:
                    tried = self._attempt(others)
                except CompileError as error:
                    self._leave_out(plugin, self._reason(plugin, error, suspects, out))
                    continue
                if built is not None:
                    built.engine.close()
                built, out = tried, others
        except BaseException:
            if built is not None:
                built.engine.close()
            raise
        if built is None:
            raise PluginError("; ".join(self._problems))
        return built

    def _attempt(self, out: Sequence[Plugin]) -> Built:
        """The engine without some plugins."""
        libraries = self._remaining(out)
        if not libraries and self._problems:
            raise PluginError("; ".join(self._problems))
        snippets: dict[str, str] = {}
        careful = False
        for library in libraries:
            plugin = self._registry.plugin_of(library)
            own = self._snippets.get(plugin.name, {})
            snippets |= own
            careful |= bool(own) and plugin.distribution != BUILTIN
        table = ProbeTable(libraries)
        return Built(self._make(table, snippets, careful), table, libraries, self._problems)

    def _remaining(self, out: Sequence[Plugin]) -> list[Library]:
        return [one for one in self._libraries if self._registry.plugin_of(one) not in out]

    def _reason(
        self, plugin: Plugin, error: CompileError, suspects: Sequence[Plugin], out: Sequence[Plugin]
    ) -> str:
        """What is wrong with a plugin's C; if it is only wrong beside another's, that one is named."""
        beside = [one for one in suspects if one not in out]
        if beside:
            try:
                self._attempt([one for one in suspects if one is not plugin]).engine.close()
            except CompileError as alone:
                error, beside = alone, []
        own = [one for one in self._libraries if self._registry.plugin_of(one) is plugin]
        why = reason(error, self._snippets[plugin.name], own)
        names = ", ".join(f"{one.name} of {one.distribution}" for one in beside)
        return f"beside that of plugin {names}, {why}" if beside else why

    def _read_snippets(self) -> None:
        for library in list(self._libraries):
            plugin = self._registry.plugin_of(library)
            try:
                found = self._registry.snippet(library)
            except PluginError as error:
                self._problems.append(f"{error}; what it declares is not traced")
                self._libraries = self._remaining([plugin])
                continue
            if found is not None:
                self._snippets.setdefault(plugin.name, {}).update([found])

    def _leave_out(self, plugin: Plugin, why: str) -> None:
        titles = dict.fromkeys(
            one.title for one in self._libraries if self._registry.plugin_of(one) is plugin
        )
        self._problems.append(f"{plugin.label}: {', '.join(titles)} is not traced: {why}")
