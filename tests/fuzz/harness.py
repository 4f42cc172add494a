"""What holds for every input of every decoder, however hostile."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import groupby, islice
from typing import Any

from tests.fuzz.grpc_units import protoset
from tests.fuzz.script import Script, Talk, conversation, parse
from tests.fuzz.targets import Target
from tests.unit.protocols.conversation import Conversation
from tlstap.pipeline import Limits, Pipeline
from tlstap.protocols.base import Channel, Decoder, StreamBytes
from tlstap.protocols.body_formats import BodyOptions
from tlstap.protocols.decoding import Decoding, Toolbox
from tlstap.protocols.http2.decoder import Http2
from tlstap.protocols.memory import Allowance, Pool
from tlstap.records import (
    Data,
    Exchange,
    ExchangeEnded,
    HeadSeen,
    Message,
    MessageEnded,
    Missing,
    ProtocolMessage,
    Record,
    TraceRecord,
    Undecoded,
)
from tlstap.registry import Registry
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.emit import Emitter
from tlstap.streams.reassembly import Reassembly

ROOMY = Limits()
TIGHT = Limits(body=50, memory=6000)

_registry = Registry.load(third_party=(), body_options=BodyOptions(protosets=(protoset(),)))


class BrokenError(AssertionError):
    """An input broke what must hold."""


def check(target: Target, data: bytes, *, seconds: float | None = None) -> None:
    """Run an input and check all that must hold.

    :param seconds: how long the pipeline may take, plus as much for each MiB; None for no bound.
    :raises BrokenError: something does not.
    """
    script = parse(data, target.units, target.prelude)
    talk = conversation(script, target.alpn)
    limits = TIGHT if script.talk & Talk.TIGHT else ROOMY
    began = time.process_time()
    out = decoded(talk.records, limits)
    took = time.process_time() - began
    if seconds is not None and took > seconds * (1 + script.bytes / (1 << 20) + len(talk.records) / 1000):
        raise BrokenError(f"{took:.2f} s for {script.bytes} bytes in {len(talk.records)} records")
    check_bounds(out, limits)
    check_undecoded(out, talk.records)
    check_sinks(out)
    if script.whole and (target.protocol is not None or not script.talk & Talk.BARE):
        check_borders(target, script)


def pipeline_of(limits: Limits, on_problem: Callable[[str], None] = lambda problem: None) -> Pipeline:
    """A pipeline with all that tlstap brings along."""
    return Pipeline(_registry.protocols, _registry.body_formats, limits=limits, on_problem=on_problem)


def decoded(records: Iterable[TraceRecord], limits: Limits) -> list[Record]:
    """What the pipeline makes of records. No decoder may raise, and all memory must come back."""
    problems: list[str] = []
    pipeline = pipeline_of(limits, problems.append)
    out: list[Record] = []
    pool = pipeline._toolbox.pool
    for record in records:
        out.extend(pipeline.feed(record))
        if not 0 <= pool.left <= pool.total:
            raise BrokenError(f"{pool.left} of {pool.total} bytes of the pool are left")
    out.extend(pipeline.finish(10**6))
    if problems:
        raise BrokenError("; ".join(problems))
    if pool.left != pool.total:
        raise BrokenError(f"{pool.total - pool.left} bytes of the pool were not given back")
    return out


def check_bounds(out: Iterable[Record], limits: Limits) -> None:
    """No body is longer than the limit, and what is cut says so."""
    for record in out:
        if isinstance(record, ProtocolMessage):
            if not len(record.payload) <= min(record.size, limits.body):
                raise BrokenError(f"a message of {record.size} bytes has {len(record.payload)}")
        elif isinstance(record, ExchangeEnded):
            for message in messages_of(record.exchange):
                if not len(message.body) <= min(message.body_bytes, limits.body):
                    raise BrokenError(f"a body of {message.body_bytes} bytes has {len(message.body)}")
                if len(message.body) < message.body_bytes and not record.exchange.missing:
                    raise BrokenError("a body is cut, and nothing says so")
            if record.complete != (not record.exchange.missing):
                raise BrokenError("complete, though something is missing, or the other way round")


def messages_of(exchange: Exchange) -> list[Message]:
    """All messages of an exchange."""
    return [m for m in (exchange.request, *exchange.informational, exchange.response) if m is not None]


def check_undecoded(out: Iterable[Record], records: Iterable[TraceRecord]) -> None:
    """What is shown as not understood was captured where it is said to have been, and is shown once."""
    captured = {
        (record.direction, record.offset + at): byte
        for record in records
        if isinstance(record, Data)
        for at, byte in enumerate(record.payload)
    }
    for record in out:
        if isinstance(record, Undecoded) and record.stream_id is None:
            for at, byte in enumerate(record.payload):
                if captured.pop((record.direction, record.offset + at), None) != byte:
                    raise BrokenError(
                        f"undecoded {record.direction} {record.offset + at} is not what was there"
                    )


def check_sinks(out: Iterable[Record]) -> None:
    """Every format can show the messages, or as many of them as are no waste of time."""
    records = list(islice((record for record in out if not isinstance(record, Data)), 100))
    for sink in _registry.sinks.values():
        stream = io.StringIO()
        emitter = Emitter(sink.create(stream, OutputOptions()), stream)
        emitter.write(records)
        emitter.close()


def check_borders(target: Target, script: Script) -> None:
    """The same bytes mean the same, in whatever records they come.

    Except where that is meant to help, or can't be had: behind bytes that are no frames of HTTP/2, frames are
    looked for where records begin, and of a chunk that is none h11 swallows what it could not read.
    """
    whole = directly(target, script, merged(script))
    if any(_broken(record, frames=target.protocol is Http2) for record in whole):
        return
    expected = told(whole)
    for size in (1, 7):
        found = told(directly(target, script, split(script, size)))
        if found != expected:
            different = [pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]]
            raise BrokenError(f"in records of {size}: {different[:1] or (expected[-1:], found[-1:])}")


def _broken(record: Record, *, frames: bool) -> bool:
    """Did a chunked body, or the frames of HTTP/2, end early?"""
    if isinstance(record, Undecoded):
        return frames and record.stream_id is None
    if not isinstance(record, ExchangeEnded):
        return False
    chunked = any(
        name.lower() == "transfer-encoding"
        for message in messages_of(record.exchange)
        for name, _ in message.headers
    )
    return chunked and any(missing.reason == "unfinished" for missing in record.exchange.missing)


def directly(target: Target, script: Script, talk: Conversation) -> list[Record]:
    """What the target's decoder makes of a conversation, without recognition if that can be."""
    problems: list[str] = []
    protocol = target.protocol() if target.protocol is not None else None
    protocols = (protocol,) if protocol is not None else tuple(_registry.protocols)
    toolbox = Toolbox(protocols, _registry.body_formats, Pool(), problems.append)
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
    """All that records say apart from times; bytes that were not understood one after the other.

    How far a body could be decoded that is not what its coding promises depends on the records.
    """
    out = list(out)
    undecodable = {
        id(record.exchange) for record in out if isinstance(record, ProtocolMessage) and _bad(record)
    }
    facts: list[object] = []
    undecoded: dict[tuple[str, int | None], bytearray] = {}
    for record in out:
        match record:
            case Undecoded():
                undecoded.setdefault((record.direction, record.stream_id), bytearray()).extend(record.payload)
            case HeadSeen() | MessageEnded():
                facts.append(
                    (type(record).__name__, record.direction, _message(record.message, record.exchange))
                )
            case ExchangeEnded():
                facts.append(("ended", record.complete, *_exchange(record.exchange)))
            case ProtocolMessage():
                exchange = record.exchange
                if exchange is None or not (_spoilt(exchange) or id(exchange) in undecodable):
                    facts.append(_protocol_message(record))
    return [*facts, *((where, bytes(data)) for where, data in sorted(undecoded.items(), key=repr) if data)]


def _bad(record: ProtocolMessage) -> bool:
    return any(missing.reason == "not decodable" for missing in record.missing)


def _spoilt(exchange: Exchange) -> bool:
    return any(missing.reason == "not decodable" for missing in exchange.missing)


def _exchange(exchange: Exchange) -> tuple[object, ...]:
    return (
        exchange.protocol,
        exchange.stream_id,
        [_message(message, exchange) for message in messages_of(exchange)],
        [missing.part if _spoilt(exchange) else _missing(missing) for missing in exchange.missing],
        exchange.pushed,
        exchange.reset,
        exchange.body_format,
    )


def _message(message: Message, exchange: Exchange) -> dict[str, Any]:
    unequal = {"start_ns", "end_ns"} | ({"body", "body_bytes"} if _spoilt(exchange) else set())
    return {each.name: getattr(message, each.name) for each in fields(message) if each.name not in unequal}


def _missing(missing: Missing) -> tuple[object, ...]:
    return missing.part, missing.reason, missing.bytes


def _protocol_message(record: ProtocolMessage) -> tuple[object, ...]:
    return (
        *(record.protocol, record.type, record.direction, record.stream_id),
        *(record.payload, record.size, record.details),
        [_missing(missing) for missing in record.missing],
    )
