"""What stands before a block: the time, which connection, who and where."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TextIO

from tlstap.records import Connection, Direction
from tlstap.schema import Endpoint, LibraryInfo, Process
from tlstap.sinks.escape import escape
from tlstap.sinks.layout import Segment

ARROWS: dict[Direction, str] = {"write": "→", "read": "←"}
ASCII_ARROWS: dict[Direction, str] = {"write": "->", "read": "<-"}


def arrows_for(stream: TextIO) -> dict[Direction, str]:
    """The direction marks (to and from the traced process) that `stream` can carry."""
    try:
        "".join(ARROWS.values()).encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ASCII_ARROWS
    return ARROWS


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}"


def clock(time_ns: int) -> Segment:
    """The local time of day with milliseconds; seconds since the epoch where no calendar reaches."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return ("time", f"{_second(seconds)}.{rest // 1_000_000:03d}")


def tag(connection: Connection, stream_id: int | None = None) -> Segment:
    """The mark that each block of a connection (and of an HTTP/2 stream) carries: #3, #3/15."""
    return ("tag", f"#{connection.id}" if stream_id is None else f"#{connection.id}/{stream_id}")


def process_words(process: Process) -> list[list[Segment]]:
    """Program and pid; the thread's name where it is another one; the container."""
    comm = escape(process.comm)
    program = escape(PurePosixPath(process.exe).name) if process.exe else comm
    # comm is the program's name cut at 15 bytes, or without a version, unless a thread was named.
    named = not program.startswith(comm) and not comm.startswith(program)
    words: list[list[Segment]] = [[("process", f"{program or '?'}[{process.pid}]")]]
    if named:
        words.append([("note", f"({comm})")])
    if process.container:
        words.append([("note", f"container {escape(process.container[:12])}")])
    return words


def library_word(library: LibraryInfo) -> list[Segment]:
    """The library and its version."""
    version = f" {escape(library.version)}" if library.version else ""
    return [("", f"{escape(library.name)}{version}")]


def connection_words(connection: Connection, arrow: str, from_start: bool) -> list[list[Segment]]:
    """Where from and to, the name asked for, and what is special about it."""
    words: list[list[Segment]] = []
    if connection.local is None and connection.remote is None:
        words.append([("note", "address unknown")])
    else:
        words.append([("", f"{_endpoint(connection.local)} {arrow} {_endpoint(connection.remote)}")])
    if connection.sni:
        words.append([("", f"sni {escape(connection.sni)}")])
    notes = [
        note
        for note, applies in (
            ("server side", connection.role == "server"),
            ("address inferred", connection.inferred and connection.remote is not None),
            ("found open", not from_start),
        )
        if applies
    ]
    if notes:
        words.append([("note", f"({', '.join(notes)})")])
    return words


def duration(nanoseconds: int) -> str:
    """A time span for reading."""
    return f"{nanoseconds / 1_000_000:,.1f} ms"


def count(number: int, unit: str) -> str:
    """ "1 byte", "1,234 bytes"."""
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"


def _endpoint(endpoint: Endpoint | None) -> str:
    if endpoint is None:
        return "?"
    address = escape(endpoint.address)
    return f"[{address}]:{endpoint.port}" if ":" in address else f"{address}:{endpoint.port}"
