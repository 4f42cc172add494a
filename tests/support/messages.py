"""The messages of protocols inside HTTP, and of which request they are part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import JsonValue

from tests.support.traffic import Traced
from tlstap import schema


@dataclass(frozen=True)
class Shown:
    """A message, as far as it does not depend on the run."""

    direction: str
    type: str
    content: bytes = b""
    details: dict[str, JsonValue] = field(default_factory=dict)


def message_events(events: Iterable[schema.Event], protocol: str, of: Traced) -> list[schema.MessageEvent]:
    """A protocol's messages on a connection, none of which lacks anything, in order."""
    found = []
    for event in events:
        if not isinstance(event, schema.MessageEvent) or event.connection.id != of.id:
            continue
        if event.protocol == protocol:
            assert event.missing == ()
            assert event.body_bytes == len(event.content)
            assert (event.process.pid, event.library) == (of.process.pid, of.library)
            found.append(event)
    return found


def shown(messages: Iterable[schema.MessageEvent], direction: str) -> list[Shown]:
    """What those of a direction are, in order."""
    return [
        Shown(message.direction, message.type, message.content, message.details)
        for message in messages
        if message.direction == direction
    ]


def seen_by_peer(messages: Iterable[Shown]) -> list[Shown]:
    """The same messages, as the other end sees them."""
    other = {"read": "write", "write": "read"}
    return [Shown(other[each.direction], each.type, each.content, each.details) for each in messages]
