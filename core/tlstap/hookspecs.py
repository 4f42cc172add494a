"""The plugin contract, one hook after another in the order in which they are called.

A plugin is a module or object with functions marked `@tlstap.hookimpl`. Built-in plugins come from a
literal list in registry.py, third-party ones from the entry-point group `tlstap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.library import Library
    from tlstap.location import Located
    from tlstap.protocols.base import Protocol
    from tlstap.protocols.body_formats import BodyFormat, BodyOptions
    from tlstap.sinks.base import SinkType

PROJECT = "tlstap"

CONTRACT = 1
"""Version of the contract: the hooks, and what plugins declare and get. It rises when something is added
that a plugin may need; what is there is not changed. See `tlstap.requires_contract`."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook that has its name: `@hookimpl`."""


@hookspec
def tlstap_libraries() -> Sequence[Library]:
    """Declare TLS libraries. Called once, when plugins are loaded.

    :return: the libraries that this plugin supports. A name that another plugin declares is an error.
    """
    raise AssertionError("a specification is never called")


@hookspec(firstresult=True)
def tlstap_locate(image: ElfImage, library: Library, function: str) -> Located | int | None:
    """Find a function that may have no symbol.

    Called for each function of a probe with `locate=True`, only for the plugin that declared `library`. The
    answer decides also where `image.symbols` knows the name. Results are cached for the file's content
    together with `library.locator_version`.

    :param image: the ELF image, recognised as containing `library`.
    :param library: the declaration.
    :param function: the probe's function name.
    :return: the function's ELF virtual address, or a Located with more than that; None if it was not found
        without doubt. Never guess.
    :raises NotLocatedError: instead of None, to say at which step it was not found.
    """
    raise AssertionError("a specification is never called")


@hookspec(firstresult=True)
def tlstap_describe(library: Library, detail: str, value: bytes) -> str | None:
    """Put a detail of a connection, as a DetailProbe captured it, into words.

    Called while tracing, only for the plugin that declared `library`. Without an answer the value is taken
    as UTF-8 text.

    :param library: the declaration.
    :param detail: "sni", "alpn", "tls_version" or "cipher".
    :param value: the captured bytes, at most 255, without the terminating NUL.
    :return: the text for the schema's field, "" if the value says nothing, None to leave it to the default.
    """
    raise AssertionError("a specification is never called")


@hookspec
def tlstap_protocols() -> Sequence[Protocol]:
    """Declare protocol decoders. Called once, when plugins are loaded.

    :return: decoders for application protocols inside TLS, in the order in which they should be asked.
    """
    raise AssertionError("a specification is never called")


@hookspec
def tlstap_body_formats(options: BodyOptions) -> Sequence[BodyFormat]:
    """Declare formats of HTTP bodies that consist of messages. Called once, when plugins are loaded.

    :param options: what the user gave for reading bodies.
    :return: formats, in the order in which they should be asked.
    """
    raise AssertionError("a specification is never called")


@hookspec
def tlstap_sinks() -> Sequence[SinkType]:
    """Declare output formats. Called once, when plugins are loaded.

    :return: formats for `-f NAME`. A name that another plugin declares is an error.
    """
    raise AssertionError("a specification is never called")
