"""The decoder of a connection: commands, replies with what they answer, errors and pushes, as messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import JsonValue

import tlstap
from tlstap_redis.half import Half, Roles
from tlstap_redis.pairing import Pairing
from tlstap_redis.value import MAX_LENGTHS, Value, is_command

_ERRORS = ("error", "bulk-error")
_Record = tlstap.ProtocolMessage | tlstap.Undecoded


class RedisDecoder(tlstap.Decoder):
    """Gives out each value as it ends."""

    def __init__(self, channel: tlstap.Channel, memory: tlstap.Allowance) -> None:
        self._channel = channel
        self._roles = Roles(channel.client)
        self._halves: dict[tlstap.Direction, Half] = {
            "read": Half(memory, "read", self._roles),
            "write": Half(memory, "write", self._roles),
        }
        self._memory = memory
        self._pairing: Pairing | None = None
        self._process = channel.connection.process

    def feed(self, data: tlstap.StreamBytes) -> Iterator[_Record]:
        if self._pairing is None:
            whole = self._channel.from_start and data.offset == 0 and not data.lost_before
            self._pairing = Pairing(self._memory, certain=whole)
        self._process = data.process
        half = self._halves[data.direction]
        for found in half.feed(data):
            if isinstance(found, Value):
                yield self._message(found, data.time_ns, data.direction, self._pairing)
            else:
                yield self._undecoded(found)
        if half.searching:
            self._pairing.lost()

    def finish(self, time_ns: int, *, closed: bool) -> Iterator[_Record]:
        pairing = self._pairing or Pairing(self._memory, certain=False)
        for direction, half in self._halves.items():
            for value in half.finish():
                yield self._message(value, time_ns, direction, pairing)
        pairing.lost()

    def _message(
        self, value: Value, time_ns: int, direction: tlstap.Direction, pairing: Pairing
    ) -> tlstap.ProtocolMessage:
        type_, details = self._describe(value, direction, pairing)
        content, missing = value.content, value.missing
        if not content.whole:
            why: Literal["lost", "over the limit"] = "lost" if value.lost else "over the limit"
            missing.insert(0, tlstap.Missing("message", why, content.size - len(content.data)))
        if value.parts > 1:
            # A list would take a line for each where it is shown as text.
            details["lengths"] = ":".join("-" if each is None else str(each) for each in value.lengths)
        if value.parts > MAX_LENGTHS:
            details["parts"] = value.parts
        payload, size = bytes(content.data), content.size
        content.clear()
        channel = self._channel
        exchange = channel.switch.exchange if channel.switch is not None else None
        return tlstap.ProtocolMessage(
            channel.connection,
            self._process,
            time_ns,
            direction,
            "redis",
            type_,
            payload,
            size,
            details,
            missing,
            channel.stream_id,
            exchange,
        )

    def _describe(
        self, value: Value, direction: tlstap.Direction, pairing: Pairing
    ) -> tuple[str, dict[str, JsonValue]]:
        """Type and details; what is whole takes its place in the order of commands and replies."""
        whole = not value.missing
        client = None if self._roles.client is None else self._roles.client == direction
        if is_command(value, client):
            return "command", self._command(value, direction, pairing, whole=whole)
        if client is None and whole and value.content.whole:
            self._roles.client = _other(direction)
        details: dict[str, JsonValue] = {"kind": value.kind} if value.kind else {}
        if pairing.is_push(value):
            return "attribute" if value.kind == "attribute" else "push", details
        answered = pairing.reply(value) if whole else None
        if answered is not None:
            details["reply_to"] = answered
        return "error" if value.kind in _ERRORS else "reply", details

    def _command(
        self, value: Value, direction: tlstap.Direction, pairing: Pairing, *, whole: bool
    ) -> dict[str, JsonValue]:
        name = value.name.decode("ascii", "backslashreplace")
        details: dict[str, JsonValue] = {"command": name} if name else {}
        if value.kind == "inline":
            details["inline"] = True
        if whole:
            self._roles.client = direction
            self._halves[_other(direction)].due = True
            pairing.command(value, name)
        return details

    def _undecoded(self, data: tlstap.StreamBytes) -> tlstap.Undecoded:
        return tlstap.Undecoded(
            self._channel.connection,
            data.process,
            data.time_ns,
            data.direction,
            data.offset,
            data.payload,
            data.lost_before,
            self._channel.stream_id,
        )


def _other(direction: tlstap.Direction) -> tlstap.Direction:
    return "write" if direction == "read" else "read"
