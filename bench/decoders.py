"""`python -m bench.decoders`: how fast the decoders are, beside the libraries that others decode with.

Records as the tracer makes them, ready in memory, go through the pipeline, and for some loads on through an
output format. For comparison the same bytes are read by h11, h2 or wsproto, as an end of the connection that
has nothing else to do. All take turns, so that whatever else the machine does meets all of them; the Markdown
tables show medians. Nothing here needs root.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from statistics import median

from tests.fuzz.grpc_units import protoset

from bench.conversations import Load, events, grpc, http1, http2, text, unknown, websocket
from tlstap.pipeline import Pipeline
from tlstap.protocols.body_formats import BodyOptions
from tlstap.registry import Registry
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.emit import Emitter

STREAMS = (1, 10, 100, 1000)


def decode(load: Load, registry: Registry) -> float:
    """Seconds to decode a load."""
    problems: list[str] = []
    pipeline = Pipeline(registry.protocols, registry.body_formats, on_problem=problems.append)
    began = time.perf_counter()
    for record in load.records:
        for _ in pipeline.feed(record):
            pass
    for _ in pipeline.finish(0):
        pass
    took = time.perf_counter() - began
    assert problems == []
    return took


FORMATS = {
    "text": ("text", OutputOptions()),
    "summary": ("text", OutputOptions(summary=True)),
    "json, messages only": ("json", OutputOptions(kinds=frozenset({"http", "message"}))),
    "json": ("json", OutputOptions()),
    "har": ("har", OutputOptions()),
}


def show(load: Load, registry: Registry, name: str) -> float:
    """Seconds to decode a load and write it in a format."""
    pipeline = Pipeline(registry.protocols, registry.body_formats)
    stream = io.StringIO()
    sink, options = FORMATS[name]
    emitter = Emitter(registry.sinks[sink].create(stream, options), stream)
    began = time.perf_counter()
    for record in load.records:
        emitter.write(pipeline.feed(record))
    emitter.write(pipeline.finish(0))
    emitter.close()
    return time.perf_counter() - began


def in_turn(runs: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """The median time of each, all run in turn."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, taken in zip(runs, times, strict=True):
            taken.append(run())
    return [median(taken) for taken in times]


def print_decoding(title: str, unit: str, loads: Sequence[Load], registry: Registry, rounds: int) -> None:
    """A table: each load, decoded by tlstap and by a library."""
    library = min((load.library for load in loads if load.library), default="")
    print(f"\n### {title}\n")
    print(f"| | {unit}/s | MB/s | us each |{f' {library}, us each | ratio |' if library else ''}")
    print(f"|---|---|---|---|{'---|---|' if library else ''}")
    for load in loads:
        print(f"{title}: {load.title}", file=sys.stderr)
        runs: list[Callable[[], float]] = [lambda load=load: decode(load, registry)]  # type: ignore[misc]
        if load.baseline is not None:
            runs.append(load.baseline)
        took, *others = in_turn(runs, rounds)
        cells = [f"{load.messages / took:,.0f}", f"{load.bytes / took / 1e6:,.0f}", _each(took, load)]
        cells += [cell for other in others for cell in (_each(other, load), f"{took / other:.1f}")]
        print(f"| {load.title} | {' | '.join(cells)} |")


def _each(seconds: float, load: Load) -> str:
    return f"{seconds / load.messages * 1e6:,.1f}"


def print_formats(loads: Sequence[Load], registry: Registry, rounds: int) -> None:
    """A table: each load in each format, in microseconds for one message."""
    print("\n### Decoded and written, us each\n")
    print(f"| | decoded only | {' | '.join(FORMATS)} |")
    print("|---" * (2 + len(FORMATS)) + "|")
    for load in loads:
        print(f"formats: {load.title}", file=sys.stderr)
        runs: list[Callable[[], float]] = [lambda load=load: decode(load, registry)]  # type: ignore[misc]
        for name in FORMATS:
            runs.append(lambda load=load, name=name: show(load, registry, name))  # type: ignore[misc]
        cells = [_each(took, load) for took in in_turn(runs, rounds)]
        print(f"| {load.title} | {' | '.join(cells)} |")


def _streams(count: int) -> str:
    return f"{count:,} stream{'s' if count > 1 else ''}"


def tables(scale: float, rounds: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every table by its title; a load of scale 1 takes about a second."""
    plain = Registry.load(third_party=())
    schema = Registry.load(third_party=(), body_options=BodyOptions(protosets=(protoset(),)))
    many = max(10, int(4000 * scale))
    size = max(1 << 20, int((64 << 20) * scale))
    page = text(size)

    def http1_loads() -> list[Load]:
        return [
            http1("bodies of 64 bytes", many, b"x" * 64),
            http1("bodies of 16 KiB", many, text(16384)),
            http1(f"a body of {size >> 20} MiB", 1, page),
            http1(f"a body of {size >> 20} MiB in chunks of 8 KiB", 1, page, chunk=8192),
            http1(f"a body of {size >> 20} MiB, gzip (h11 with zlib)", 1, page, coding="gzip"),
        ]

    def http2_small() -> list[Load]:
        return [http2(f"{_streams(streams)} at a time", many, streams, b"x" * 64) for streams in STREAMS]

    def http2_large() -> list[Load]:
        return [
            http2(f"{_streams(streams)} at a time", streams, streams, page[: max(1, size // streams)])
            for streams in STREAMS
        ]

    def websocket_loads() -> list[Load]:
        return [
            websocket("text of 64 bytes", 2 * many, "x" * 64),
            websocket("text of 64 bytes, compressed", 2 * many, "x" * 64, deflate=True),
            websocket("binary data of 64 KiB", many // 4, page[:65536]),
            websocket("text of 16 KiB, compressed", many // 4, page[:16384].decode(), deflate=True),
        ]

    def bodies() -> list[Load]:
        return [events(2 * many, b"x" * 64), grpc("gRPC", many)]

    def unknown_loads() -> list[Load]:
        return [
            unknown("100 bytes, in turn", many, 100, alternating=True),
            unknown("16 KiB, in turn", many, 16384, alternating=True),
            unknown("16 KiB, in one direction", many, 16384, alternating=False),
        ]

    def formats() -> list[Load]:
        return [
            http1("HTTP/1, 64 bytes", many, b"x" * 64),
            http2("HTTP/2, 64 bytes, 10 streams", many, 10, b"x" * 64),
            http2("HTTP/2, 16 KiB, 10 streams", many, 10, text(16384)),
            websocket("WebSocket, 64 bytes", many, "x" * 64),
            grpc("gRPC", many // 2),
        ]

    def decoding(
        title: str, unit: str, loads: Callable[[], list[Load]], registry: Registry = plain
    ) -> tuple[str, Callable[[], None]]:
        return title, lambda: print_decoding(title, unit, loads(), registry, rounds)

    yield decoding("HTTP/1", "exchanges", http1_loads)
    yield decoding("HTTP/2, bodies of 64 bytes", "exchanges", http2_small)
    yield decoding(f"HTTP/2, {size >> 20} MiB in all", "exchanges", http2_large)
    yield decoding("WebSocket", "messages", websocket_loads)
    yield decoding("Messages in bodies", "messages", bodies)
    yield decoding("gRPC with a schema", "messages", lambda: [grpc("gRPC", many)], schema)
    yield decoding("Bytes of no known protocol", "calls", unknown_loads)
    yield "formats", lambda: print_formats(formats(), plain, rounds)


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.decoders", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each has its turn (5)")
    parser.add_argument("--scale", type=float, default=1, help="of the loads' sizes (1)")
    parser.add_argument("--table", action="append", help="only tables whose title contains this")
    options = parser.parse_args()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("h11", "h2", "hpack", "wsproto"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {libraries}")
    for title, table in tables(options.scale, options.rounds):
        if not options.table or any(part in title for part in options.table):
            table()


if __name__ == "__main__":
    main()
