"""Traces of the program with a TLS library's functions, and what they yield."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.bpf import own_library
from tests.bpf.own_library import Program

from tlstap.records import Closed, Data, Lost, TraceRecord
from tlstap.registry import Registry
from tlstap.tracing.filters import Filters
from tlstap.tracing.options import Options
from tlstap.tracing.session import Session


@contextmanager
def tracing(program: Program, registry: Registry | None = None, **options: Any) -> Iterator[Session]:
    """A trace of the program."""
    chosen = Options(filters=Filters(pids=frozenset([program.pid])), **options)
    with Session(registry or own_library.registry(), chosen) as session:
        yield session


def rest(session: Session) -> list[TraceRecord]:
    """Stop, and take everything that was captured."""
    session.stop()
    return list(session.records())


def the_data(records: Iterable[TraceRecord]) -> list[Data]:
    return [record for record in records if isinstance(record, Data)]


def the_lost(records: Iterable[TraceRecord]) -> list[Lost]:
    return [record for record in records if isinstance(record, Lost)]


def the_closed(records: Iterable[TraceRecord]) -> list[Closed]:
    return [record for record in records if isinstance(record, Closed)]
