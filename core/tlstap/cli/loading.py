"""Loads the plugins for a subcommand, with what they need from the user."""

from __future__ import annotations

from collections.abc import Collection

from tlstap.cli.messages import say
from tlstap.protocols.body_formats import BodyOptions
from tlstap.protocols.grpc.protosets import read_protosets
from tlstap.registry import Registry


def load_registry(exclude: Collection[str] = (), protosets: Collection[str] = ()) -> Registry:
    """The registry; a plugin that was left out because it failed is told of on stderr.

    :param protosets: files with descriptors for gRPC.
    :raises UsageError: one of them can't be used, or `exclude` names no plugin.
    """
    registry = Registry.load(exclude, body_options=BodyOptions(read_protosets(protosets)))
    for failure in registry.failures:
        say(failure.text)
    return registry
