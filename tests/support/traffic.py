"""Traced connections put together from data events, with every byte checked for its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tlstap import schema


@dataclass
class Traced:
    """One connection as its data events show it; bytes are complete and in order, or building it failed."""

    id: int
    process: schema.Process
    library: schema.LibraryInfo
    connection: schema.Connection
    read: bytes = b""
    written: bytes = b""
    events: list[schema.DataEvent] = field(default_factory=list)

    @property
    def ports(self) -> tuple[int | None, int | None]:
        """Local and remote port."""
        local, remote = self.connection.local, self.connection.remote
        return (local.port if local else None, remote.port if remote else None)


def data_events(events: Iterable[schema.Event]) -> list[schema.DataEvent]:
    """The data events among them."""
    return [event for event in events if isinstance(event, schema.DataEvent)]


def connections(events: Iterable[schema.Event]) -> list[Traced]:
    """All connections that moved data, in the order in which they were seen.

    :raises AssertionError: where a byte is missing, doubled, cut or out of order, with its place.
    """
    found: dict[int, Traced] = {}
    parts: dict[tuple[int, str], list[bytes]] = {}
    sizes: dict[tuple[int, str], int] = {}
    for event in data_events(events):
        number = event.connection.id
        traced = found.setdefault(number, Traced(number, event.process, event.library, event.connection))
        assert event.process.pid == traced.process.pid, f"connection {number} is of two processes"
        key = (number, event.direction)
        place = f"connection {number}, {event.direction}, offset {event.offset}"
        assert event.length > 0, f"{place}: an empty event"
        assert event.offset == sizes.get(key, 0), f"{place}: expected offset {sizes.get(key, 0)}"
        assert event.captured == len(event.data) == event.length, (
            f"{place}: {event.captured} of {event.length} bytes"
        )
        sizes[key] = event.offset + event.length
        parts.setdefault(key, []).append(event.data)
        traced.connection = event.connection
        traced.events.append(event)
    for traced in found.values():
        traced.read = b"".join(parts.get((traced.id, "read"), []))
        traced.written = b"".join(parts.get((traced.id, "write"), []))
    return list(found.values())


def with_ports(found: Sequence[Traced], local: int, remote: int) -> Traced:
    """The one connection between these ports, as the process with the local one sees it."""
    matching = [traced for traced in found if traced.ports == (local, remote)]
    known = [traced.ports for traced in found]
    assert len(matching) == 1, f"{len(matching)} connections from port {local} to {remote} among {known}"
    return matching[0]


def losses(events: Iterable[schema.Event]) -> list[schema.LostEvent]:
    """The lost events among them."""
    return [event for event in events if isinstance(event, schema.LostEvent)]


def http_events(events: Iterable[schema.Event], of: Traced) -> list[schema.HttpEvent]:
    """The http events of a connection."""
    http = (event for event in events if isinstance(event, schema.HttpEvent))
    return [event for event in http if event.connection.id == of.id]
