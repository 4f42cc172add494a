"""Which end of its connections a process is: from the direction of requests, where TLS does not tell."""

from __future__ import annotations

from tlstap.records import Connection, Direction, HeadSeen, Role

MAX_CONNECTIONS = 16_384


class Roles:
    """Learns from the heads of requests."""

    def __init__(self) -> None:
        self._roles: dict[int, Role] = {}

    def see(self, record: HeadSeen) -> None:
        """The head of a message went by."""
        exchange = record.exchange
        if exchange.connection.role is not None or exchange.pushed:
            return
        number = exchange.connection.id
        if number not in self._roles and len(self._roles) >= MAX_CONNECTIONS:
            del self._roles[next(iter(self._roles))]
        to_server = record.direction if record.message.is_request else _other(record.direction)
        self._roles[number] = "client" if to_server == "write" else "server"

    def forget(self, connection: Connection) -> None:
        """The connection is over."""
        self._roles.pop(connection.id, None)

    def of(self, connection: Connection) -> Role | None:
        """The role, None if it is not known."""
        return connection.role or self._roles.get(connection.id)

    def client(self, connection: Connection) -> Direction:
        """The direction in which the client's bytes go; that of a client's process where it is not known."""
        return "read" if self.of(connection) == "server" else "write"


def _other(direction: Direction) -> Direction:
    return "read" if direction == "write" else "write"
