"""What `tlstap plugins` prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tlstap.cli.tables import print_lines, print_table
from tlstap.sinks.escape import escape

if TYPE_CHECKING:
    from tlstap.registry import Plugin, Registry


def show(as_json: bool, excluded: tuple[str, ...]) -> None:
    """Print the plugins as a table or as one JSON document."""
    from tlstap.registry import Registry

    registry = Registry.load(excluded)
    if as_json:
        print_lines([json.dumps(_document(registry), indent=2)])
        return
    rows = [
        (plugin.name, _origin(plugin), "; ".join(_supports(registry, plugin))) for plugin in registry.plugins
    ]
    print_table(("PLUGIN", "FROM", "SUPPORTS"), rows)
    for failure in registry.failures:
        print_lines([escape(f"left out: {failure.name} of {failure.distribution}, which {failure.reason}")])
    for name in registry.excluded:
        print_lines([escape(f"left out as asked for: {name}")])


def _origin(plugin: Plugin) -> str:
    return f"{plugin.distribution} {plugin.version}" if plugin.version else plugin.distribution


def _supports(registry: Registry, plugin: Plugin) -> list[str]:
    """What a plugin declares, in words."""
    declared = registry.declared_by(plugin)
    words = []
    for kind, names in declared.items():
        if names:
            words.append(f"{kind} {', '.join(names)}")
    return words or ["nothing"]


def _document(registry: Registry) -> dict[str, Any]:
    return {
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                **registry.declared_by(plugin),
            }
            for plugin in registry.plugins
        ],
        "failed": [
            {"name": failure.name, "distribution": failure.distribution, "reason": failure.reason}
            for failure in registry.failures
        ],
        "excluded": registry.excluded,
    }
