"""Declarations of the toy of drivers/toy.c, right and wrong ones, as if a distribution brought them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint

from tlstap.hookspecs import hookimpl
from tlstap.library import (
    BirthProbe,
    DataProbe,
    FreeProbe,
    HandshakeProbe,
    Library,
    OutPointer,
    Probe,
    Recognise,
    RoleProbe,
)
from tlstap.registry import Registry

READ = DataProbe(function="toy_read", direction="read")
WRITE = DataProbe(function="toy_write", direction="write")
READ_EX = DataProbe(function="toy_read_ex", direction="read", moved=OutPointer(argument=4), success="one")
WRITE_EX = DataProbe(function="toy_write_ex", direction="write", moved=OutPointer(argument=4), success="one")
BIRTH = BirthProbe(function="toy_new")
RESET = BirthProbe(function="toy_reset", handle=1)
FREE = FreeProbe(function="toy_free")
HANDSHAKE = HandshakeProbe(function="toy_handshake")
ROLES = (
    RoleProbe(function="toy_become_client", role="client"),
    RoleProbe(function="toy_become_server", role="server"),
)
LIFE: tuple[Probe, ...] = (BIRTH, RESET, FREE, HANDSHAKE, *ROLES)
"""All that a right declaration has besides the functions that move data."""

_chosen: tuple[Probe, ...] = ()


@hookimpl
def tlstap_libraries() -> Sequence[Library]:
    return [
        Library(
            name="toy",
            title="Toy",
            recognise=Recognise(symbols=("toy_library_of_tlstap_tests",)),
            probes=_chosen,
        )
    ]


@hookimpl
def tlstap_describe(library: Library, detail: str, value: bytes) -> str | None:
    raise ValueError("a detail that nobody can describe")


def registry(*probes: Probe) -> Registry:
    """The plugins, with one that declares the toy with these probes."""
    global _chosen
    _chosen = probes
    return Registry.load(third_party=[EntryPoint("toy", __name__, "tlstap")])
