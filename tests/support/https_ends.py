"""Connections to a local server, each followed at both ends."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, losses
from tlstap import schema


@dataclass(frozen=True)
class Ends:
    """Both ends of one connection."""

    client: Traced
    server: Traced


def both_ends(tracer: Tracer, port: int) -> list[Ends]:
    """The connections to this port, in order, after a look that both ends moved the same bytes.

    Each was seen from its start to its end, with its handshake; nothing was lost.
    """
    found = [traced for traced in connections(tracer.events) if port in traced.ports]
    numbers = {traced.id for traced in found}
    assert [lost for lost in losses(tracer.events) if lost.connection and lost.connection.id in numbers] == []
    clients = [traced for traced in found if traced.ports[1] == port]
    servers = {traced.ports: traced for traced in found if traced.ports[0] == port}
    assert len(clients) == len(servers) == len(found) // 2
    pairs = [Ends(client, servers[client.ports[1], client.ports[0]]) for client in clients]
    for pair in pairs:
        client, server = pair.client, pair.server
        assert (len(client.written), len(client.read)) == (len(server.read), len(server.written))
        assert (client.written, client.read) == (server.read, server.written)
        roles = (client.connection.role, server.connection.role)
        assert roles == ("client", "server"), roles
        assert (client.connection.inferred, server.connection.inferred) == (False, False)
        assert life(tracer, client) == ["open", "handshake", "close"]
        # OpenSSL tells nothing of a handshake that is a part of the first read.
        own = ["handshake"] if server.library.name != "openssl" else []
        assert life(tracer, server) == ["open", *own, "close"]
    return pairs


def only_ends(tracer: Tracer, port: int) -> Ends:
    """Those of the one connection to this port."""
    [pair] = both_ends(tracer, port)
    return pair


def life(tracer: Tracer, of: Traced) -> list[str]:
    """The events of a connection's life: seen from the start, and the handshake succeeded."""
    kinds: list[str] = []
    for event in tracer.events:
        match event:
            case schema.OpenEvent() | schema.HandshakeEvent() | schema.CloseEvent():
                if event.connection.id != of.id:
                    continue
                kinds.append(event.kind)
                assert not isinstance(event, schema.OpenEvent) or event.from_start
                assert not isinstance(event, schema.HandshakeEvent) or event.ok
    return kinds
