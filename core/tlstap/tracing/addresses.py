"""Socket addresses as BPF notes them, in the schema's terms."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from tlstap.schema import Endpoint
from tlstap.tracing.layout import ADDRESS, FAMILY_DESCRIPTOR, FAMILY_INET, FAMILY_INET6

Ends = tuple[Endpoint, Endpoint]
"""(local, remote)."""


def ends_of(address: bytes, pid: int) -> Ends | None:
    """Both ends from a struct address; None if there is no socket, or it is gone."""
    local, remote, local_port, remote_port, family = ADDRESS.unpack(address)
    if family == FAMILY_INET:
        return (
            Endpoint(address=str(IPv4Address(local[:4])), port=local_port),
            Endpoint(address=str(IPv4Address(remote[:4])), port=remote_port),
        )
    if family == FAMILY_INET6:
        return (
            Endpoint(address=_ipv6_text(local), port=local_port),
            Endpoint(address=_ipv6_text(remote), port=remote_port),
        )
    if family == FAMILY_DESCRIPTOR:
        return ends_of_descriptor(pid, local_port)
    return None


def _ipv6_text(packed: bytes) -> str:
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def ends_of_descriptor(pid: int, descriptor: int) -> Ends | None:
    """Both ends of a process's TCP socket, from /proc; None if it is none, or gone."""
    try:
        target = str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())
    except OSError:
        return None
    found = re.fullmatch(r"socket:\[(\d+)\]", target)
    if not found:
        return None
    for table, width in (("tcp", 8), ("tcp6", 32)):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[9] == found[1]:
                return _proc_endpoint(fields[1], width), _proc_endpoint(fields[2], width)
    return None


@lru_cache(maxsize=1024)
def _proc_endpoint(text: str, width: int) -> Endpoint:
    """An endpoint as /proc/net/tcp writes it: words of the address in host order, in hexadecimal."""
    address, port = text.split(":")
    words = [int(address[place : place + 8], 16).to_bytes(4, "little") for place in range(0, width, 8)]
    packed = b"".join(words)
    shown = str(IPv4Address(packed)) if width == 8 else _ipv6_text(packed)
    return Endpoint(address=shown, port=int(port, 16))
