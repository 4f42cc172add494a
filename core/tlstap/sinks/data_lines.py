"""Data events as JSON lines, fast: most lines of a capture are of this kind.

The text is the same as that of the schema's model, which makes the first line of each connection; of the next
ones only the numbers and the bytes differ. A model for each would cost three times as much.
"""

from __future__ import annotations

from binascii import b2a_base64

from tlstap.convert import to_event, to_json
from tlstap.records import Data
from tlstap.sinks.escape import escape_json

MAX_CONNECTIONS = 4096

_BEFORE_CONTEXT = '"process":'
_AFTER_CONTEXT = ',"kind":"data","direction":'
_BEFORE_FUNCTION = ',"function":'
_AFTER_FUNCTION = ',"duration_ns":'


class DataLines:
    """Makes the lines of data records. What it keeps of connections is bounded."""

    def __init__(self) -> None:
        # By the connection's number, negative for what it writes: by another function.
        self._contexts: dict[int, tuple[tuple[object, ...], tuple[str, str]]] = {}

    def line(self, record: Data, seq: int) -> str:
        """The event as a line of JSON, without a line's end."""
        context, function = self._context(record)
        data = b2a_base64(record.payload, newline=False).decode("ascii")
        return (
            f'{{"schema_version":1,"time_ns":{record.time_ns},"seq":{seq},{context}'
            f'{_AFTER_CONTEXT}"{record.direction}","offset":{record.offset},"length":{record.length},'
            f'"captured":{len(record.payload)},"data":"{data}","function":{function},'
            f'"duration_ns":{record.duration_ns}}}'
        )

    def _context(self, record: Data) -> tuple[str, str]:
        """Process, library and connection, as long as nothing new is known of them; the function's name."""
        of = record.connection
        state = (
            record.process,
            record.function,
            of.library,
            of.local,
            of.remote,
            of.inferred,
            of.role,
            of.sni,
            of.alpn,
            of.tls_version,
            of.cipher,
        )
        key = of.id if record.direction == "read" else -of.id
        known = self._contexts.get(key)
        # Tuples compare their members by identity first, and these are the same objects mostly.
        if known is not None and known[0] == state:
            return known[1]
        if len(self._contexts) >= MAX_CONNECTIONS:
            self._contexts.clear()
        event = to_event(record, 0)
        assert event is not None
        line = escape_json(to_json(event))
        # Inside of strings quotation marks are escaped, so these are found at their places only.
        context = line[line.index(_BEFORE_CONTEXT) : line.index(_AFTER_CONTEXT)]
        function = line[line.index(_BEFORE_FUNCTION) + len(_BEFORE_FUNCTION) : line.rindex(_AFTER_FUNCTION)]
        self._contexts[key] = (state, (context, function))
        return context, function
