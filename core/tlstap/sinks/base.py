"""What an output format is."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from tlstap.records import Record
from tlstap.schema import KINDS


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What the user chose for the output. A limit is in bytes, None for no limit.

    `kinds` are the kinds of events to show (`--only`), None for all. `color`: the stream is a terminal with
    colours.
    `max_body` bounds what is shown of a body or of undecoded data that is text, `max_binary` of what is not.
    `width` is the terminal's, None where lines are not to be wrapped (a pipe, a file). `summary`: one line
    for each exchange; only formats that say so in their SinkType get it.
    """

    kinds: frozenset[str] | None = None
    max_body: int | None = 4096
    max_binary: int | None = 128
    color: bool = False
    width: int | None = None
    summary: bool = False


class Sink(abc.ABC):
    """Writes records to a text stream. `write` is called with every record, in order, with its number.

    `seq` is the number of the record's event; progress records (HeadSeen, MessageEnded, Undecoded) have no
    event of their own and get the number of the next one. A sink does not flush its stream.
    """

    @abc.abstractmethod
    def write(self, record: Record, seq: int) -> None:
        """Take one record; ignore what this format does not show."""

    def close(self) -> None:  # noqa: B027 - most formats have no end
        """The trace is over: write what belongs at the end."""


@dataclass(frozen=True, slots=True)
class SinkType:
    """A format: its `name` for `-f`, a line of `help`, and `create`, which makes a sink for a stream.

    `kinds` are the kinds of events that the format can show, for `--only`; `summary_kinds` those that it
    can show with `--summary`, None if it has no summary.
    """

    name: str
    help: str
    create: Callable[[TextIO, OutputOptions], Sink]
    kinds: frozenset[str] = frozenset(KINDS)
    summary_kinds: frozenset[str] | None = None
