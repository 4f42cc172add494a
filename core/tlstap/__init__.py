"""tlstap: the plaintext of TLS traffic of any process, by eBPF uprobes on its TLS library.

Scripts use `Tracer`, plugins `hookimpl` and what they declare: libraries, protocols, formats. Everything else
is internal. docs/plugins.md is the guide, docs/plugin-reference.md describes every name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlstap.contract import requires_contract
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
    from tlstap.protocols.base import Channel, Decoder, Protocol, StreamBytes, Switch
    from tlstap.protocols.body_formats import BodyFormat, BodyOptions, BodyReader, Part
    from tlstap.protocols.held import Held
    from tlstap.protocols.memory import Allowance
    from tlstap.records import (
        Closed,
        Connection,
        Data,
        DecodedRecord,
        Direction,
        Exchange,
        ExchangeEnded,
        Handshake,
        HeadSeen,
        Lost,
        Message,
        MessageEnded,
        Missing,
        Opened,
        ProtocolMessage,
        Undecoded,
        UnknownHeader,
    )
    from tlstap.sinks.base import OutputOptions, Sink, SinkType
    from tlstap.sinks.escape import escape
    from tlstap.tracer import Tracer

__all__ = [
    "Allowance",
    "BirthProbe",
    "BodyFormat",
    "BodyOptions",
    "BodyReader",
    "Channel",
    "Closed",
    "Connection",
    "ContentProbe",
    "Data",
    "DataProbe",
    "DecodedRecord",
    "Decoder",
    "DetailProbe",
    "Direction",
    "ElfImage",
    "Exchange",
    "ExchangeEnded",
    "FixedLength",
    "FlushProbe",
    "FreeProbe",
    "Handshake",
    "HandshakeProbe",
    "HeadSeen",
    "Held",
    "LengthArgument",
    "LengthOffset",
    "Library",
    "Located",
    "Lost",
    "Message",
    "MessageEnded",
    "Missing",
    "NotLocatedError",
    "Opened",
    "OutPointer",
    "OutputOptions",
    "PacketProbe",
    "Part",
    "Protocol",
    "ProtocolMessage",
    "Recognise",
    "ReferenceProbe",
    "Returned",
    "RoleProbe",
    "Sink",
    "SinkType",
    "StreamBytes",
    "Switch",
    "Terminated",
    "TlstapError",
    "Tracer",
    "Undecoded",
    "UnknownHeader",
    "VersionString",
    "escape",
    "hookimpl",
    "requires_contract",
]

_MODULES = {
    "Allowance": "tlstap.protocols.memory",
    "BodyFormat": "tlstap.protocols.body_formats",
    "BodyOptions": "tlstap.protocols.body_formats",
    "BodyReader": "tlstap.protocols.body_formats",
    "Channel": "tlstap.protocols.base",
    "Closed": "tlstap.records",
    "Connection": "tlstap.records",
    "Data": "tlstap.records",
    "DecodedRecord": "tlstap.records",
    "Decoder": "tlstap.protocols.base",
    "Direction": "tlstap.records",
    "ElfImage": "tlstap.discovery.elf",
    "Exchange": "tlstap.records",
    "ExchangeEnded": "tlstap.records",
    "Handshake": "tlstap.records",
    "HeadSeen": "tlstap.records",
    "Held": "tlstap.protocols.held",
    "Located": "tlstap.location",
    "Lost": "tlstap.records",
    "Message": "tlstap.records",
    "MessageEnded": "tlstap.records",
    "Missing": "tlstap.records",
    "NotLocatedError": "tlstap.errors",
    "Opened": "tlstap.records",
    "OutputOptions": "tlstap.sinks.base",
    "Part": "tlstap.protocols.body_formats",
    "Protocol": "tlstap.protocols.base",
    "ProtocolMessage": "tlstap.records",
    "Sink": "tlstap.sinks.base",
    "SinkType": "tlstap.sinks.base",
    "StreamBytes": "tlstap.protocols.base",
    "Switch": "tlstap.protocols.base",
    "TlstapError": "tlstap.errors",
    "Tracer": "tlstap.tracer",
    "Undecoded": "tlstap.records",
    "UnknownHeader": "tlstap.records",
    "escape": "tlstap.sinks.escape",
    "hookimpl": "tlstap.hookspecs",
    "requires_contract": "tlstap.contract",
}


def __getattr__(name: str) -> Any:
    """Names are imported when they are used: `tlstap --help` must come at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "tlstap.library")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
