"""tlstap: the plaintext of TLS traffic of any process, by eBPF uprobes on its TLS library.

Scripts use `Tracer`, plugins `hookimpl` and the declarations. Everything else is internal.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.errors import NotLocatedError, TlstapError
    from tlstap.hookspecs import hookimpl
    from tlstap.library import (
        BirthProbe,
        ContentProbe,
        DataProbe,
        DetailProbe,
        FixedLength,
        FlushProbe,
        FreeProbe,
        HandshakeProbe,
        LengthArgument,
        LengthOffset,
        Library,
        OutPointer,
        PacketProbe,
        Recognise,
        ReferenceProbe,
        Returned,
        RoleProbe,
        Terminated,
        VersionString,
    )
    from tlstap.location import Located
    from tlstap.tracer import Tracer

__all__ = [
    "BirthProbe",
    "ContentProbe",
    "DataProbe",
    "DetailProbe",
    "ElfImage",
    "FixedLength",
    "FlushProbe",
    "FreeProbe",
    "HandshakeProbe",
    "LengthArgument",
    "LengthOffset",
    "Library",
    "Located",
    "NotLocatedError",
    "OutPointer",
    "PacketProbe",
    "Recognise",
    "ReferenceProbe",
    "Returned",
    "RoleProbe",
    "Terminated",
    "TlstapError",
    "Tracer",
    "VersionString",
    "hookimpl",
]

_MODULES = {
    "ElfImage": "tlstap.discovery.elf",
    "Located": "tlstap.location",
    "NotLocatedError": "tlstap.errors",
    "TlstapError": "tlstap.errors",
    "hookimpl": "tlstap.hookspecs",
    "Tracer": "tlstap.tracer",
}


def __getattr__(name: str) -> Any:
    """Names are imported when they are used: `tlstap --help` must come at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "tlstap.library")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
