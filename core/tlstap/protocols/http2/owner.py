"""What the two directions tell the connection."""

from __future__ import annotations

import abc
from collections.abc import Container

from pydantic import JsonValue

from tlstap.protocols.http2.header_block import HeaderBlock
from tlstap.protocols.http2.headers import Fields
from tlstap.records import Direction, MissingReason


class HalfOwner(abc.ABC):
    """What a half tells the connection of. `direction` is the half's."""

    @abc.abstractmethod
    def client_found(self, direction: Direction) -> None:
        """The client's frames go in this direction."""

    @abc.abstractmethod
    def fields(
        self, direction: Direction, block: HeaderBlock, fields: Fields | None, reason: MissingReason
    ) -> None:
        """A header block is over; `fields` is None if it can't be read, for that reason."""

    @abc.abstractmethod
    def data(self, direction: Direction, stream_id: int, payload: bytes, offset: int) -> None: ...

    @abc.abstractmethod
    def data_lost(self, direction: Direction, stream_id: int, size: int) -> None: ...

    @abc.abstractmethod
    def data_ended(self, direction: Direction, stream_id: int) -> None: ...

    @abc.abstractmethod
    def reset(self, direction: Direction, stream_id: int, code: int) -> None: ...

    @abc.abstractmethod
    def going_away(self, direction: Direction, last_stream_id: int, code: int) -> None: ...

    @abc.abstractmethod
    def control(self, direction: Direction, kind: str, payload: bytes, details: dict[str, JsonValue]) -> None:
        """A control frame that is worth a message."""

    @abc.abstractmethod
    def frames_lost(self, direction: Direction, gap: int | None) -> None:
        """Frames are missing, of whatever streams."""

    @abc.abstractmethod
    def unknown(self, direction: Direction, offset: int, payload: bytes, lost_before: int) -> None: ...

    @property
    @abc.abstractmethod
    def streams(self) -> Container[int]: ...
