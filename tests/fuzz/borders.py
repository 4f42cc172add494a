"""The same bytes mean the same, in whatever records they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import groupby
from typing import Any

from tests.fuzz.brought_along import REGISTRY
from tests.fuzz.errors import BrokenError
from tests.fuzz.script import Script, Talk
from tests.fuzz.targets import Target
from tests.unit.protocols.conversation import Conversation
from tlstap.protocols.base import Channel, Decoder, StreamBytes
from tlstap.protocols.decoding import Decoding, Toolbox
from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.memory import Allowance, Pool
from tlstap.records import (
    Data,
    Exchange,
    ExchangeEnded,
    HeadSeen,
    Message,
    MessageEnded,
    Missing,
    MissingReason,
    ProtocolMessage,
    Record,
    TraceRecord,
    Undecoded,
)
from tlstap.streams.reassembly import Reassembly


def check_borders(target: Target, script: Script) -> None:
    """Compare what is told of a script in records of one byte, of seven, and in as few as can be.

    Nothing is compared where borders are meant to help, or the same can't be had: behind bytes that are no
    frames, those are looked for where records begin; h11 swallows what is no chunk; libraries that
    decode keep back what they made of a piece in which something is wrong.
    """
    whole = directly(target, script, merged(script))
    if any(_broken(record, frames=target.protocol is not Http1) for record in whole):
        return
    expected = told(whole)
    for size in (1, 7):
        found = told(directly(target, script, split(script, size)))
        if found != expected:
            different = [pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]]
            raise BrokenError(f"in records of {size}: {different[:1] or (expected[-1:], found[-1:])}")


def _broken(record: Record, *, frames: bool) -> bool:
    """Is a coding, a chunk or, with `frames`, a frame not what it should be?"""
    match record:
        case Undecoded():
            return frames
        case ProtocolMessage():
            return _lacks(record.missing, "not decodable") or (frames and _lacks(record.missing, "not seen"))
        case ExchangeEnded():
            missing = record.exchange.missing
            if _lacks(missing, "not decodable") or (frames and _lacks(missing, "lost")):
                return True
            names = {name.lower() for each in messages_of(record.exchange) for name, _ in each.headers}
            return "transfer-encoding" in names and _lacks(missing, "unfinished")
        case _:
            return False


def _lacks(missing: Iterable[Missing], reason: MissingReason) -> bool:
    return any(item.reason == reason for item in missing)


def directly(target: Target, script: Script, talk: Conversation) -> list[Record]:
    """What the target's decoder makes of a conversation, without recognition if that can be."""
    problems: list[str] = []
    protocol = target.protocol() if target.protocol is not None else None
    protocols = (protocol,) if protocol is not None else tuple(REGISTRY.protocols)
    toolbox = Toolbox(protocols, REGISTRY.body_formats, Pool(), problems.append)
    talk.connection.role = "client" if script.talk & Talk.ROLE else None
    channel = Channel(talk.connection, toolbox, True)
    decoder = Decoding(channel) if protocol is None else protocol.decoder(channel, Allowance(toolbox.pool))
    out: list[Record] = []
    for data in stream_bytes(talk.records):
        if isinstance(decoder, Decoder) and decoder.handed_over:
            out.append(Undecoded(talk.connection, data.process, 0, data.direction, data.offset, data.payload))
        else:
            out.extend(decoder.feed(data))
    out.extend(decoder.finish(10**6, closed=bool(script.talk & Talk.CLOSED)))
    if problems:
        raise BrokenError("; ".join(problems))
    return out


def stream_bytes(records: Iterable[TraceRecord]) -> Iterator[StreamBytes]:
    """Reassembled data."""
    reassembly = Reassembly(True)
    for record in records:
        if isinstance(record, Data):
            yield from reassembly.feed(record)


def merged(script: Script) -> Conversation:
    """All that a direction says before the other one does, in one record."""
    talk = Conversation()
    for direction, moves in groupby(script.moves, lambda move: move.direction):
        talk.move(direction, b"".join(move.payload for move in moves))
    return talk


def split(script: Script, size: int) -> Conversation:
    """The same in records of `size` bytes, or more if that were too many."""
    talk = Conversation()
    size = max(size, script.bytes // 1000)
    for move in script.moves:
        for at in range(0, len(move.payload), size):
            talk.move(move.direction, move.payload[at : at + size])
    return talk


def told(out: Iterable[Record]) -> list[object]:
    """All that records say apart from times; bytes that were not understood one after the other."""
    facts: list[object] = []
    undecoded: dict[tuple[str, int | None], bytearray] = {}
    for record in out:
        match record:
            case Undecoded():
                undecoded.setdefault((record.direction, record.stream_id), bytearray()).extend(record.payload)
            case HeadSeen() | MessageEnded():
                facts.append((type(record).__name__, record.direction, _message(record.message)))
            case ExchangeEnded():
                facts.append(("ended", record.complete, *_exchange(record.exchange)))
            case ProtocolMessage():
                facts.append(_protocol_message(record))
    return [*facts, *((where, bytes(data)) for where, data in sorted(undecoded.items(), key=repr) if data)]


def _exchange(exchange: Exchange) -> tuple[object, ...]:
    return (
        exchange.protocol,
        exchange.stream_id,
        [_message(message) for message in messages_of(exchange)],
        exchange.missing,
        exchange.pushed,
        exchange.reset,
        exchange.body_format,
    )


def _message(message: Message) -> dict[str, Any]:
    return {
        each.name: getattr(message, each.name)
        for each in fields(message)
        if each.name not in ("start_ns", "end_ns")
    }


def _protocol_message(record: ProtocolMessage) -> tuple[object, ...]:
    return (
        *(record.protocol, record.type, record.direction, record.stream_id),
        *(record.payload, record.size, record.details, record.missing),
    )


def messages_of(exchange: Exchange) -> list[Message]:
    """All messages of an exchange."""
    return [m for m in (exchange.request, *exchange.informational, exchange.response) if m is not None]
