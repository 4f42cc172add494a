"""Tracing from Python: an iterable of the schema's events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tlstap import schema
from tlstap.convert import DECODED_KINDS, KIND_OF, to_event
from tlstap.discovery.given import GivenAddress
from tlstap.errors import UsageError
from tlstap.pipeline import Passthrough, Pipeline
from tlstap.protocols.body_formats import BodyOptions
from tlstap.protocols.grpc.protosets import read_protosets
from tlstap.records import Record
from tlstap.registry import Registry
from tlstap.tracing.filters import Filters
from tlstap.tracing.options import DEFAULT_BUFFER_BYTES, Options
from tlstap.tracing.session import Session


class Tracer:
    """Traces TLS traffic while it is open as a context manager.

        with Tracer(libraries=["openssl"], comm="curl", duration=10) as tracer:
            for event in tracer:
                print(event.kind, event.process.pid)

    Each filter takes one value or several; the kinds of filters are ANDed, their values ORed. Needs root.

    :param libraries: names of libraries, as `tlstap plugins` lists them; all by default.
    :param pid: process ids.
    :param uid: user ids.
    :param comm: names of processes or threads.
    :param exe: paths of executables.
    :param command: a command to start and to trace with its children; iteration ends when it ends.
    :param kinds: only events of these kinds (schema.KINDS).
    :param duration: iteration ends after so many seconds.
    :param buffer_bytes: size of the buffer between kernel and tlstap, a power of two.
    :param no_plugins: names of plugins not to load.
    :param addresses: "FILE:FUNCTION=ADDRESS" for functions that tlstap does not find in a stripped file.
    :param protosets: files with a FileDescriptorSet, by which messages of gRPC are decoded.
    :param on_message: called with lines about what is found, or can't be traced.
    :raises TlstapError: from `with`, if tracing can't begin; UsageError at once, if an argument is wrong.
    """

    def __init__(
        self,
        *,
        libraries: Collection[str] = (),
        pid: int | Collection[int] = (),
        uid: int | Collection[int] = (),
        comm: str | Collection[str] = (),
        exe: str | Collection[str] = (),
        command: Sequence[str] = (),
        kinds: Collection[str] | None = None,
        duration: float | None = None,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        no_plugins: Collection[str] = (),
        addresses: Collection[str] = (),
        protosets: Collection[str | Path] = (),
        on_message: Callable[[str], None] = lambda line: None,
    ) -> None:
        for kind in kinds or ():
            if kind not in schema.KINDS:
                raise UsageError(f"no kind {kind!r}; there are {', '.join(schema.KINDS)}")
        filters = Filters(
            pids=frozenset([pid] if isinstance(pid, int) else pid),
            uids=frozenset([uid] if isinstance(uid, int) else uid),
            comms=frozenset([comm] if isinstance(comm, str) else comm),
            exes=frozenset([exe] if isinstance(exe, str) else exe),
            libraries=frozenset([libraries] if isinstance(libraries, str) else libraries),
        )
        given = tuple(GivenAddress.parse(text) for text in addresses)
        options = Options(filters, duration, buffer_bytes, tuple(command), given=given)
        self._kinds = None if kinds is None else frozenset(kinds)
        self._registry = Registry.load(no_plugins, body_options=BodyOptions(read_protosets(protosets)))
        self._session = Session(self._registry, options, on_message)
        self._on_message = on_message

    def __enter__(self) -> Self:
        self._session.start()
        for failure in self._registry.failures:
            self._on_message(failure.text)
        for problem in self._session.coverage.problems:
            self._on_message(problem)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[schema.Event]:
        """The events, until `stop`, the duration or the command's end."""
        seq = 0
        for record in self._records():
            kind = KIND_OF.get(type(record))
            if kind is None:
                continue
            if self._kinds is None or kind in self._kinds:
                event = to_event(record, seq)
                if event is not None:
                    yield event
            seq += 1

    def _records(self) -> Iterator[Record]:
        decoded = self._kinds is None or not self._kinds.isdisjoint(DECODED_KINDS)
        pipeline = (
            Pipeline(
                self._registry.protocols,
                self._registry.body_formats,
                on_problem=self._on_message,
                third_party=self._registry.third_party,
            )
            if decoded
            else Passthrough()
        )
        for record in self._session.records():
            yield from pipeline.feed(record)
        yield from pipeline.finish(self._session.now())

    def stop(self) -> None:
        """End the iteration in order; may be called from a signal handler or another thread."""
        self._session.stop()

    def close(self) -> None:
        """Detach everything; a command that still runs is asked to end."""
        if self._session.child is not None:
            self._session.child.terminate()
        self._session.close()
