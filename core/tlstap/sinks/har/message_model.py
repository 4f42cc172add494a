"""Messages as fields of an entry, which are not in the standard: Chromium's where it has some."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from tlstap.sinks.har.model import Missing, Part


class WebSocketMessage(Part):
    """A WebSocket message as Chromium's HAR has it: `data` is text for opcode 1, base64 for any other."""

    type: Literal["send", "receive"]
    time: float
    opcode: int
    data: str
    size: int | None = Field(default=None, serialization_alias="_size")
    details: dict[str, JsonValue] | None = Field(default=None, serialization_alias="_details")
    missing: tuple[Missing, ...] | None = Field(default=None, serialization_alias="_missing")


class EventSourceMessage(Part):
    """A server-sent event as Chromium's HAR has it."""

    time: float
    event_name: str
    event_id: str
    data: str
    size: int | None = Field(default=None, serialization_alias="_size")
    details: dict[str, JsonValue] | None = Field(default=None, serialization_alias="_details")
    missing: tuple[Missing, ...] | None = Field(default=None, serialization_alias="_missing")


class OtherMessage(Part):
    """A message of another protocol."""

    time: float
    protocol: str
    type: str
    direction: Literal["send", "receive"]
    data: str
    encoding: Literal["base64"] | None = None
    size: int
    details: dict[str, JsonValue] | None = None
    missing: tuple[Missing, ...] | None = None
