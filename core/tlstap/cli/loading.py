"""Loads the plugins for a subcommand."""

from __future__ import annotations

from collections.abc import Collection

from tlstap.cli.messages import say
from tlstap.registry import Registry


def load_registry(exclude: Collection[str] = ()) -> Registry:
    """The registry; a plugin that was left out because it failed is told of on stderr."""
    registry = Registry.load(exclude)
    for failure in registry.failures:
        say(f"plugin {failure.name} of {failure.distribution} is left out: {failure.reason}")
    return registry
