"""What can't be written yet: messages of exchanges that go on, entries that more messages may belong to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from tlstap.records import Connection, Exchange

MAX_HELD = 64 << 20
"""Bytes of JSON for all exchanges together."""
MAX_OF_ONE = 8 << 20
"""Bytes of JSON for one exchange."""
MAX_EXCHANGES = 16_384
_OVERHEAD = 128


class _Held:
    """What is held of one exchange. `entry` is None until that ended, and "" when it was written already."""

    __slots__ = ("count", "entry", "left_out", "lists", "size")

    def __init__(self) -> None:
        self.entry: str | None = None
        self.lists: dict[str, list[bytes]] = {}
        self.count = 0
        self.left_out = 0
        self.size = 0

    def json(self) -> str:
        """The entry with its messages."""
        assert self.entry
        fields = [f'"{name}":[{b",".join(texts).decode()}]' for name, texts in self.lists.items()]
        if self.left_out:
            fields.append(f'"_messagesLeftOut":{self.left_out}')
        return ",".join([self.entry.removesuffix("}"), *fields]) + "}"


class Holding:
    """Holds messages and entries in bounded memory.

    Where that does not suffice, the entry that was silent for longest is written; messages that come later
    for it are only counted, as are those beyond what one exchange may have.

    :param write: called with entries, which are JSON.
    :param bare: entries without messages are written as well.
    """

    def __init__(self, write: Callable[[str], None], *, bare: bool) -> None:
        self.left_out = 0
        """How many messages no entry tells of."""
        self._write = write
        self._bare = bare
        self._held: dict[Exchange, _Held] = {}
        self._waiting: OrderedDict[Exchange, _Held] = OrderedDict()
        self._of: dict[int, dict[Exchange, None]] = {}
        self._size = 0

    def message(self, exchange: Exchange, field: str, text: str) -> None:
        """Keep a message for the list `field` of the exchange's entry."""
        held = self._held.get(exchange) or self._add(exchange)
        if exchange in self._waiting:
            self._waiting.move_to_end(exchange)
        data = text.encode()
        if held.entry == "" or not self._grow(exchange, held, len(data) + _OVERHEAD):
            held.left_out += 1
            return
        held.lists.setdefault(field, []).append(data)
        held.count += 1

    def ended(self, exchange: Exchange, entry: str, *, goes_on: bool) -> None:
        """The exchange ended: its entry is written, or kept if more messages may come."""
        held = self._held.get(exchange) or self._add(exchange)
        held.entry = entry
        if not goes_on:
            self._let_go(exchange)
        elif self._grow(exchange, held, 4 * len(entry)):  # a string has up to four bytes a character
            self._waiting[exchange] = held
        else:
            self._put(exchange, held)

    def closed(self, connection: Connection) -> None:
        """Nothing more comes of the connection: what is held of it is written."""
        for exchange in list(self._of.get(connection.id, ())):
            self._let_go(exchange)

    def close(self) -> None:
        """Nothing more comes."""
        for exchange in list(self._held):
            self._let_go(exchange)

    def _add(self, exchange: Exchange) -> _Held:
        if len(self._held) >= MAX_EXCHANGES:
            self._let_go(next(iter(self._held)))
        held = self._held[exchange] = _Held()
        self._of.setdefault(exchange.connection.id, {})[exchange] = None
        return held

    def _grow(self, exchange: Exchange, held: _Held, size: int) -> bool:
        """Make room for so many bytes more of an exchange, if that is possible."""
        if held.size + size > MAX_OF_ONE:
            return False
        while self._size + size > MAX_HELD:
            silent = next((it for it in self._waiting if it is not exchange), None)
            if silent is None:
                return False
            self._put(silent, self._waiting[silent])
        held.size += size
        self._size += size
        return True

    def _put(self, exchange: Exchange, held: _Held) -> None:
        """Write the entry. What comes later is counted."""
        if held.count or held.left_out or self._bare:
            self._write(held.json())
        self._waiting.pop(exchange, None)
        self._size -= held.size
        held.entry, held.lists, held.count, held.left_out, held.size = "", {}, 0, 0, 0

    def _let_go(self, exchange: Exchange) -> None:
        """Write what is there, and know nothing of the exchange any more."""
        held = self._held.pop(exchange)
        of = self._of[exchange.connection.id]
        del of[exchange]
        if not of:
            del self._of[exchange.connection.id]
        if held.entry:
            self._put(exchange, held)
        self.left_out += held.count + held.left_out
        self._size -= held.size
