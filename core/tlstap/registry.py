"""Loads the plugins: built-in ones from a literal list, third-party ones from the entry-point group.

Entry points are loaded one by one, because pluggy's own loader skips a name that is taken without a word
and lets one plugin's import error end the host.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pluggy

from tlstap import hookspecs
from tlstap.declarations import BrokenError, call_hook, check_hooks, one_line
from tlstap.discovery.asking import Asking
from tlstap.errors import PluginError, UsageError
from tlstap.library import Library
from tlstap.protocols.body_formats import BodyFormat, BodyOptions

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.location import Located
    from tlstap.protocols.base import Protocol
    from tlstap.sinks.base import SinkType

BUILTIN_PLUGINS: tuple[tuple[str, str], ...] = (
    ("openssl", "tlstap.plugins.openssl"),
    ("gnutls", "tlstap.plugins.gnutls"),
    ("nss", "tlstap.plugins.nss"),
    ("boringssl", "tlstap.plugins.boringssl"),
    ("protocols", "tlstap.protocols.builtin"),
    ("sinks", "tlstap.sinks.builtin"),
)
"""(plugin name, module), in the order in which they are registered."""

BUILTIN = "tlstap"
"""Distribution name of the built-in plugins."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded plugin: its name, the distribution it comes from, and the module or object itself."""

    name: str
    distribution: str
    version: str | None
    implementation: Any

    @property
    def label(self) -> str:
        """For messages."""
        return f"plugin {self.name} of {self.distribution}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A plugin that was left out, and the one-line reason."""

    name: str
    distribution: str
    reason: str

    @property
    def text(self) -> str:
        """For messages."""
        return f"plugin {self.name} of {self.distribution} is left out: {self.reason}"


@dataclass(slots=True)
class Registry:
    """The loaded plugins and what they declare, each thing with one owner."""

    manager: pluggy.PluginManager
    plugins: list[Plugin] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    libraries: dict[str, Library] = field(default_factory=dict)
    protocols: list[Protocol] = field(default_factory=list)
    body_formats: list[BodyFormat] = field(default_factory=list)
    body_options: BodyOptions = field(default_factory=BodyOptions)
    sinks: dict[str, SinkType] = field(default_factory=dict)
    _owners: dict[str, Plugin] = field(default_factory=dict)
    _callers: dict[tuple[str, str], Callable[..., Any]] = field(default_factory=dict)
    _third_parties: dict[int, str] = field(default_factory=dict)
    _asking: Asking = field(default_factory=Asking)

    @classmethod
    def load(
        cls,
        exclude: Collection[str] = (),
        *,
        body_options: BodyOptions = BodyOptions(),  # noqa: B008 - immutable
        third_party: Iterable[EntryPoint] | None = None,
    ) -> Registry:
        """Load every plugin that is not in `exclude`.

        A third-party plugin that fails (import, declaration, a name that is taken) is left out, and it alone;
        `failures` says why.

        :param body_options: what the user gave for reading bodies.
        :param third_party: entry points instead of the installed ones.
        :raises UsageError: `exclude` names a plugin that does not exist.
        :raises PluginError: a built-in plugin is broken.
        """
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        registry = cls(manager, body_options=body_options)
        points = list(entry_points(group=hookspecs.PROJECT) if third_party is None else third_party)
        registry._exclude(exclude, points)
        for name, module in BUILTIN_PLUGINS:
            if name not in exclude:
                registry._register(Plugin(name, BUILTIN, None, importlib.import_module(module)))
        for point in points:
            if point.name not in exclude:
                registry._load_entry_point(point)
        return registry

    def library(self, name: str) -> Library:
        """The library of that name; an unknown one is a UsageError that lists the known ones."""
        known = {library.name for library in self.libraries.values() if not library.stands_in_for}
        if name not in known:
            raise UsageError(f"no library {name!r}; known are: {', '.join(sorted(known))}")
        return self.libraries[name]

    def stand_in(self, library: Library) -> Library | None:
        """The library that is probed where `library`'s own functions can't be found."""
        return next((one for one in self.libraries.values() if one.stands_in_for == library.name), None)

    def plugin_of(self, library: Library) -> Plugin:
        """The plugin that declared `library`."""
        return self._owners[f"libraries: {library.name}"]

    def third_party(self, thing: object) -> str | None:
        """The plugin, in words, that declared a protocol, body format or output format; None if built in."""
        return self._third_parties.get(id(thing))

    def declared_by(self, plugin: Plugin) -> dict[str, list[str]]:
        """Names of what a plugin declared: libraries (no stand-ins), protocols, body and output formats."""
        declared: dict[str, list[str]] = {"libraries": [], "protocols": [], "body formats": [], "formats": []}
        for claim, owner in self._owners.items():
            kind, _, name = claim.partition(": ")
            stand_in = kind == "libraries" and self.libraries[name].stands_in_for
            if owner is plugin and kind in declared and not stand_in:
                declared[kind].append(name)
        return declared

    def locate(self, image: ElfImage, library: Library, function: str) -> Located | int | None:
        """Ask the plugin that declared `library` (tlstap_locate).

        :raises PluginError: a third party's locator raised, answered nonsense or took too long.
        """
        plugin = self.plugin_of(library)
        call = partial(self._ask(library, "tlstap_locate"), image=image, library=library, function=function)
        if plugin.distribution == BUILTIN:  # these bound their work themselves
            return call()  # type: ignore[no-any-return]
        try:
            return self._asking.ask(call, image, library, function)
        except PluginError as error:
            raise PluginError(
                f"{plugin.label}: {library.title} is not traced in this file: {error}"
            ) from error

    def describe(self, library: Library, detail: str, value: bytes) -> str | None:
        """Ask the plugin that declared `library` (tlstap_describe)."""
        return self._ask(library, "tlstap_describe")(library=library, detail=detail, value=value)  # type: ignore[no-any-return]

    def snippet(self, library: Library) -> tuple[str, str] | None:
        """The library's BPF snippet as (name for compiler messages, C text), or None if it has none.

        :raises PluginError: the declared file can't be read.
        """
        if library.snippet is None:
            return None
        plugin = self.plugin_of(library)
        package = getattr(plugin.implementation, "__name__", type(plugin.implementation).__module__)
        try:
            text = files(package).joinpath(library.snippet).read_text("utf-8")
        except (OSError, ImportError, TypeError, ValueError) as error:
            what = f"snippet {library.snippet!r} of library {library.name}"
            raise PluginError(f"{plugin.label}: {what} can't be read: {error}") from None
        return f"{plugin.name}/{library.snippet}", text

    def _ask(self, library: Library, hook: str) -> Callable[..., Any]:
        key = (library.name, hook)
        if key not in self._callers:
            owner = self.plugin_of(library).implementation
            others = [plugin.implementation for plugin in self.plugins if plugin.implementation is not owner]
            self._callers[key] = self.manager.subset_hook_caller(hook, remove_plugins=others)
        return self._callers[key]

    def _exclude(self, names: Collection[str], points: Sequence[EntryPoint]) -> None:
        known = [name for name, _ in BUILTIN_PLUGINS] + [point.name for point in points]
        for name in names:
            if name not in known:
                raise UsageError(f"no plugin {name!r} to leave out; known are: {', '.join(sorted(known))}")
        self.excluded = list(names)

    def _load_entry_point(self, point: EntryPoint) -> None:
        distribution = point.dist.name if point.dist else "an unknown distribution"
        version = point.dist.version if point.dist else None
        try:
            with redirect_stdout(sys.stderr):  # stdout is for what is captured
                implementation = point.load()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            reason = str(error) if isinstance(error, PluginError) else f"can't be imported: {one_line(error)}"
            self.failures.append(Failure(point.name, distribution, reason))
            return
        try:
            with redirect_stdout(sys.stderr):
                self._register(Plugin(point.name, distribution, version, implementation))
        except BrokenError as error:
            self.failures.append(Failure(point.name, distribution, str(error)))

    def _register(self, plugin: Plugin) -> None:
        self._claim("plugins", plugin.name, plugin)
        try:
            check_hooks(plugin.implementation)
            self.manager.register(plugin.implementation, name=plugin.name)
            self.manager.check_pending()
            self._take_declarations(plugin)
        except Exception as error:
            if self.manager.has_plugin(plugin.name):
                self.manager.unregister(name=plugin.name)
            self._owners = {claim: owner for claim, owner in self._owners.items() if owner is not plugin}
            plain = isinstance(error, (pluggy.PluginValidationError, ValueError, BrokenError))
            reason = " ".join(str(error).split()) if plain else one_line(error)
            raise BrokenError(reason) from None
        self.plugins.append(plugin)

    def _take_declarations(self, plugin: Plugin) -> None:
        libraries: list[Library] = self._call(plugin, "tlstap_libraries", Library)
        from tlstap.protocols.base import Protocol
        from tlstap.sinks.base import SinkType

        protocols: list[Protocol] = self._call(plugin, "tlstap_protocols", Protocol)
        options = {"options": self.body_options}
        formats: list[BodyFormat] = self._call(plugin, "tlstap_body_formats", BodyFormat, options)
        sinks: list[SinkType] = self._call(plugin, "tlstap_sinks", SinkType)
        own = {library.name for library in libraries if not library.stands_in_for}
        for library in libraries:
            if library.stands_in_for and library.stands_in_for not in own:
                raise BrokenError(
                    f"library {library.name!r} stands in for {library.stands_in_for!r}, "
                    f"which this plugin does not declare"
                )
            self._claim("libraries", library.name, plugin)
        for protocol in protocols:
            self._claim("protocols", protocol.name, plugin)
        for body_format in formats:
            self._claim("body formats", body_format.name, plugin)
        for sink in sinks:
            self._claim("formats", sink.name, plugin)
        self.libraries.update((library.name, library) for library in libraries)
        self.protocols.extend(protocols)
        self.body_formats.extend(formats)
        self.sinks.update((sink.name, sink) for sink in sinks)
        if plugin.distribution != BUILTIN:
            self._third_parties.update((id(one), plugin.label) for one in (*protocols, *formats, *sinks))

    def _call(
        self, plugin: Plugin, hook: str, kind: type[Any], arguments: Mapping[str, object] | None = None
    ) -> list[Any]:
        others = [other.implementation for other in self.plugins]
        caller = self.manager.subset_hook_caller(hook, remove_plugins=others)
        return call_hook(caller, arguments or {}, kind)

    def _claim(self, kind: str, name: str, plugin: Plugin) -> None:
        owner = self._owners.get(f"{kind}: {name}")
        if owner is plugin:
            raise BrokenError(f"declares the name {name!r} (of {kind}) twice")
        if owner is not None:
            raise BrokenError(
                f"the name {name!r} (of {kind}) is taken by plugin {owner.name} of {owner.distribution}; "
                f"uninstall {plugin.distribution} or {owner.distribution}, or leave one out with --no-plugin"
            )
        self._owners[f"{kind}: {name}"] = plugin
