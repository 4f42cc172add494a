"""What holds for every input of every decoder, however hostile."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from itertools import islice
from zlib import crc32

from tests.fuzz.borders import check_borders, messages_of
from tests.fuzz.brought_along import REGISTRY
from tests.fuzz.errors import BrokenError
from tests.fuzz.script import Talk, conversation, parse
from tests.fuzz.targets import Target
from tlstap.pipeline import Limits, Pipeline
from tlstap.records import Data, ExchangeEnded, ProtocolMessage, Record, TraceRecord, Undecoded
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.emit import Emitter

ROOMY = Limits()
TIGHT = Limits(body=50, memory=6000)
MAX_CONTROL = 4096
"""Bytes that a control frame may carry, whatever the limits."""


def check(target: Target, data: bytes, *, seconds: float | None = None, often: int = 1) -> None:
    """Run an input and check all that must hold.

    :param seconds: how long the pipeline may take, plus as much for each MiB; None for no bound.
    :param often: formats are tried with one input of so many, since they take longest.
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
    if crc32(data) % often == 0:
        check_sinks(out)
    if script.whole and (target.protocol is not None or not script.talk & Talk.BARE):
        check_borders(target, script)


def pipeline_of(limits: Limits, on_problem: Callable[[str], None] = lambda problem: None) -> Pipeline:
    """A pipeline with all that tlstap brings along."""
    return Pipeline(REGISTRY.protocols, REGISTRY.body_formats, limits=limits, on_problem=on_problem)


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
            if not len(record.payload) <= min(record.size, max(limits.body, MAX_CONTROL)):
                raise BrokenError(f"a message of {record.size} bytes has {len(record.payload)}")
        elif isinstance(record, ExchangeEnded):
            for message in messages_of(record.exchange):
                if not len(message.body) <= min(message.body_bytes, limits.body):
                    raise BrokenError(f"a body of {message.body_bytes} bytes has {len(message.body)}")
                if len(message.body) < message.body_bytes and not record.exchange.missing:
                    raise BrokenError("a body is cut, and nothing says so")
            if record.complete != (not record.exchange.missing):
                raise BrokenError("complete, though something is missing, or the other way round")


def check_undecoded(out: Iterable[Record], records: Iterable[TraceRecord]) -> None:
    """What is shown as not understood was captured where it is said to have been, and is shown once."""
    captured: dict[tuple[str, int], int] = {}
    for data in records:
        if isinstance(data, Data):
            for at, byte in enumerate(data.payload):
                captured.setdefault((data.direction, data.offset + at), byte)
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
    for sink in REGISTRY.sinks.values():
        stream = io.StringIO()
        emitter = Emitter(sink.create(stream, OutputOptions()), stream)
        emitter.write(records)
        emitter.close()
