"""The protocol decoders that tlstap brings along, as a plugin."""

from __future__ import annotations

from collections.abc import Sequence

from tlstap.hookspecs import hookimpl
from tlstap.protocols.base import Protocol
from tlstap.protocols.http1.decoder import Http1


@hookimpl
def tlstap_protocols() -> Sequence[Protocol]:
    """HTTP/1."""
    return (Http1(),)
