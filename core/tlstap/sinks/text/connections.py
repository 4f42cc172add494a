"""Connections as text: the line that tells who speaks to whom, handshakes, ends, losses."""

from __future__ import annotations

from dataclasses import dataclass

from tlstap.records import Closed, Connection, Handshake, Lost, Opened
from tlstap.schema import Process
from tlstap.sinks.heading import (
    clock,
    connection_words,
    library_word,
    process_words,
    tag,
)
from tlstap.sinks.layout import Segment
from tlstap.sinks.text.page import Page
from tlstap.sinks.words.trace import closed_words, handshake_words, lost_words

MAX_CONNECTIONS = 65_536
"""Connections of which it is remembered that their line was shown; a forgotten one is shown again."""

_FOLLOWED = frozenset({"handshake", "data", "http", "message", "close"})


@dataclass(slots=True)
class _Known:
    """What a connection's line has told so far."""

    from_start: bool = True
    shown: bool = False
    remote: bool = False
    sni: bool = False


class ConnectionText:
    """Writes what happens to connections."""

    def __init__(self, page: Page, kinds: frozenset[str] | None) -> None:
        """:param kinds: of events, that are shown; None for all."""
        self._page = page
        self._shows_open = kinds is None or "open" in kinds
        self._shows_close = kinds is None or "close" in kinds
        self._nothing_follows = kinds is not None and not kinds & _FOLLOWED
        self._known: dict[int, _Known] = {}

    def opened(self, record: Opened) -> None:
        """A connection is first seen."""
        connection = record.connection
        self._remember(connection).from_start = record.from_start
        # The addresses are often known only later: then the line waits until there is something to show.
        if self._shows_open and (connection.remote is not None or self._nothing_follows):
            self.announce(connection, record.process, record.time_ns)

    def announce(self, connection: Connection, process: Process, time_ns: int) -> None:
        """Write the connection's line, unless it was and nothing that it lacked became known."""
        known = self._remember(connection)
        has_remote, has_sni = connection.remote is not None, bool(connection.sni)
        if known.shown and known.remote >= has_remote and known.sni >= has_sni:
            return
        words: list[list[Segment]] = [[clock(time_ns)], [tag(connection)]]
        if known.shown:
            words.append([("note", "is")])
        else:
            words += [*process_words(process), library_word(connection.library)]
        words += connection_words(connection, self._page.arrows["write"], known.from_start)
        known.shown, known.remote, known.sni = True, has_remote, has_sni
        self._page.connection(words)

    def handshake(self, record: Handshake) -> None:
        """A handshake ended."""
        connection = record.connection
        self.announce(connection, record.process, record.time_ns)
        self._page.block(record.time_ns, connection, handshake_words(record))

    def closed(self, record: Closed) -> None:
        """A connection ended."""
        connection = record.connection
        if self._shows_close:
            self.announce(connection, record.process, record.time_ns)
            self._page.block(record.time_ns, connection, closed_words(record))
        self._known.pop(connection.id, None)

    def lost(self, record: Lost) -> None:
        """Records were lost, of a connection or of none that is known."""
        if record.connection is None:
            self._page.line(record.time_ns, lost_words(record))
            return
        process = record.process or record.connection.process
        self.announce(record.connection, process, record.time_ns)
        self._page.block(record.time_ns, record.connection, lost_words(record))

    def _remember(self, connection: Connection) -> _Known:
        known = self._known.get(connection.id)
        if known is None:
            if len(self._known) >= MAX_CONNECTIONS:
                del self._known[next(iter(self._known))]
            known = self._known[connection.id] = _Known()
        return known
