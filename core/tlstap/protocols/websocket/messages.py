"""The messages of one direction, put together from the parts of frames, and the records that they become."""

from __future__ import annotations

from pydantic import JsonValue

from tlstap.protocols.websocket.frames import Opcode, Part
from tlstap.protocols.websocket.message import Message
from tlstap.protocols.websocket.shared import Shared
from tlstap.records import Direction, Missing, MissingReason, ProtocolMessage


class Messages:
    """Gives out a message as soon as it ends, and control frames between its fragments at once."""

    def __init__(self, shared: Shared, direction: Direction) -> None:
        self._shared = shared
        self._direction: Direction = direction
        self._inflation = shared.inflation(direction)
        self._message: Message | None = None
        # Why the beginning is not there, of a message that is continued without one.
        self._beginning: MissingReason = "not seen"

    def part(self, part: Part, *, unfinished: int = 0) -> None:
        """Take a part of a frame. `unfinished` of its lost bytes are not lost, but did not come."""
        if part.opcode.iscontrol():
            self._control(part, unfinished)
            return
        message = self._message
        if message is None:
            message = self._message = self._begin(part)
        if part.lost:
            message.lose(part.lost)
        if part.payload:
            message.feed(part.payload)
        if part.ends and part.fin:
            message.end()
            self._give_out(message)

    def lost(self, *, gap: bool) -> None:
        """Nobody knows where the next frame begins, because of a gap, or else of bytes that are none."""
        self._inflation.forget()
        message = self._message
        if message is not None:
            if gap:
                message.lose(None)
            self._give_out(message, None if gap else Missing("message", "unfinished"))
        self._beginning = "lost" if gap else "not seen"

    def finish(self, remaining: int | None) -> None:
        """Nothing more comes. `remaining` bytes of the open message are still to come, if that is known."""
        message = self._message
        if message is not None:
            known = None if message.compressed else remaining
            self._give_out(message, Missing("message", "unfinished", known))
        self._inflation.forget()

    def _begin(self, part: Part) -> Message:
        memory = self._shared.context.memory
        if part.opcode is Opcode.CONTINUATION:
            message = Message("continuation", memory)
            message.missing.append(Missing("message", self._beginning))
            return message
        return Message(part.opcode.name.lower(), memory, self._inflation if part.compressed else None)

    def _give_out(self, message: Message, unfinished: Missing | None = None) -> None:
        self._message = None
        payload, size, missing = message.result()
        if unfinished is not None:
            missing.append(unfinished)
        self._append(message.type, payload, size, {"compressed": True} if message.compressed else {}, missing)

    def _control(self, part: Part, unfinished: int) -> None:
        missing: list[Missing] = []
        if part.lost > unfinished:
            missing.append(Missing("message", "lost", part.lost - unfinished))
        if unfinished:
            missing.append(Missing("message", "unfinished", unfinished))
        payload, size, details = part.payload, part.length - unfinished, dict[str, JsonValue]()
        if part.opcode is Opcode.CLOSE:
            # The payload is the reason alone.
            coded = len(payload) >= 2 and (part.hole is None or part.hole >= 2)
            if coded:
                size -= 2
            code = int.from_bytes(payload[:2], "big") if coded else None
            payload = payload[2:] if coded else payload
            details = {"code": code, "reason": payload.decode("utf-8", "replace") if coded else ""}
            self._shared.closed(self._direction)
        self._append(part.opcode.name.lower(), payload, size, details, missing)

    def _append(
        self, type_: str, payload: bytes, size: int, details: dict[str, JsonValue], missing: list[Missing]
    ) -> None:
        context = self._shared.context
        context.out.append(
            ProtocolMessage(
                context.channel.connection,
                context.process,
                context.now,
                self._direction,
                "websocket",
                type_,
                payload,
                size,
                details,
                missing,
                context.channel.stream_id,
                self._shared.exchange,
            )
        )
