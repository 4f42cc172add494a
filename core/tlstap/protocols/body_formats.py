"""What a body format is: a reader of the messages that an HTTP body consists of, as they arrive."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import JsonValue

from tlstap.protocols.memory import Allowance
from tlstap.records import Exchange, Message, Missing


@dataclass(frozen=True, slots=True)
class BodyOptions:
    """What the user gave for reading bodies.

    `protosets` are the contents of files with a serialized FileDescriptorSet.
    """

    protosets: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Part:
    """A message that was found in a body. It becomes a ProtocolMessage.

    `type` is the format's word for what it is; `payload` its content, decoded, the first bytes of `size`;
    `details` what else the format says; `missing` what it lacks.
    `weight` is about how many bytes of memory the details take, where that is much.
    """

    type: str
    payload: bytes
    size: int
    details: dict[str, JsonValue] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    weight: int = 0


class BodyReader(abc.ABC):
    """Reads one body. Bounded in memory; never raises on hostile input, and stops giving out instead."""

    @abc.abstractmethod
    def feed(self, piece: bytes) -> Iterable[Part]:
        """Take the next bytes of the body, transfer and content codings removed."""

    @abc.abstractmethod
    def gap(self, size: int | None) -> Iterable[Part]:
        """Bytes of the body are missing here, or (None) nobody knows how many; more may follow."""

    @abc.abstractmethod
    def finish(self, *, unfinished: bool) -> Iterable[Part]:
        """The body is over; give out what is incomplete.

        :param unfinished: it was cut short.
        """


class BodyFormat(abc.ABC):
    """A format of HTTP bodies, such as server-sent events."""

    name: str
    """As `protocol` of the messages."""

    @abc.abstractmethod
    def reader(self, exchange: Exchange, message: Message, memory: Allowance) -> BodyReader | None:
        """A reader for the body of `message`, of which the head is complete; None if it is of another format.

        :param exchange: what `message` belongs to; the request of a response may be unknown.
        :param memory: what the reader may hold; it gives back what it took when it is finished.
        """
