"""HPACK, also where the dynamic table is not known: what was not seen is marked, and the rest is right.

An index counts from the newest entry on, so entries that were added before the trace lie behind those that
were seen, and a reference that reaches beyond the seen ones means an unknown one. The same is true for what
the encoder has evicted: a seen entry that it evicted is never referred to again. So nothing has to be known
of the table's size, and a table that is kept too large does no harm.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from hpack import Decoder, HPACKError
from hpack.table import HeaderTable, table_entry_size

from tlstap.protocols.http.charset import readable
from tlstap.records import UnknownHeader

MAX_BLOCK = 64 * 1024
"""Bytes of a header block as it is transferred."""
MAX_LIST = 64 * 1024
"""Bytes of a header list by HPACK's count: each field's name and value, and 32 bytes."""
MAX_TABLE = 64 * 1024
"""Bytes of a dynamic table that are kept, by the same count. Older entries become unknown."""

# The decoder copies what it gives out, so an unknown entry is known by its content, which nobody can guess.
_UNKNOWN = os.urandom(16)


class _Table(HeaderTable):
    """A dynamic table of which the older part is unknown."""

    def get_by_index(self, index: int) -> tuple[bytes, bytes]:
        if index - 1 - self.STATIC_TABLE_LENGTH >= len(self.dynamic_entries):
            return _UNKNOWN, _UNKNOWN
        return super().get_by_index(index)


@dataclass(slots=True)
class Fields:
    """A decoded header block. A pseudo-header of which the value is unknown is None.

    `unknown` has those headers of which not all is known; `nameless` says that the name is unknown of some,
    so that any pseudo-header that is not there may be one of them. `size` is that of the list.
    """

    pseudo: dict[str, str | None] = field(default_factory=dict)
    headers: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[UnknownHeader] = field(default_factory=list)
    nameless: bool = False
    size: int = 0

    @property
    def may_be_head(self) -> bool:
        """Pseudo-headers come first: may the first one be one of which the name is unknown?"""
        return self.nameless and self.unknown[0].position == 0 and self.unknown[0].name is None

    def get(self, name: str) -> str | None:
        """A pseudo-header's value: "" if there is none, None if it is unknown."""
        return self.pseudo.get(name, None if self.nameless else "")


class HeaderDecoder:
    """Decodes the header blocks of one direction, in order. `table_size` are the bytes that it keeps."""

    def __init__(self, *, from_start: bool) -> None:
        """:param from_start: the first block is the connection's first."""
        self._decoder = Decoder(MAX_LIST)
        self._decoder.max_allowed_table_size = 1 << 62
        self._decoder.header_table = _Table()
        if not from_start:
            self._decoder.header_table_size = MAX_TABLE

    @property
    def table_size(self) -> int:
        """Bytes in the dynamic table, by HPACK's count."""
        return self._decoder.header_table._current_size

    def forget(self) -> None:
        """Blocks were lost: which entries there are now is unknown."""
        self._decoder.header_table = _Table()
        self._decoder.header_table_size = MAX_TABLE

    def decode(self, block: bytes) -> Fields | None:
        """The fields of a whole block; None if it is no valid HPACK or too large: then all is forgotten."""
        try:
            pairs = self._decoder.decode(block, raw=True)
        except HPACKError:
            self.forget()
            return None
        # A block can't add more than its own size, so it is early enough here.
        self._decoder.header_table_size = min(self._decoder.header_table_size, MAX_TABLE)
        fields = Fields()
        for pair in pairs:
            name, value = pair
            fields.size += table_entry_size(name, value)
            _add(fields, None if name == _UNKNOWN else name, None if value == _UNKNOWN else value)
        return fields


def _add(fields: Fields, name: bytes | None, value: bytes | None) -> None:
    known_name = None if name is None else readable(name)
    known_value = None if value is None else readable(value)
    if known_name is not None and known_name.startswith(":"):
        fields.pseudo.setdefault(known_name, known_value)
    elif known_name is None or known_value is None:
        fields.unknown.append(UnknownHeader(len(fields.headers), known_name, known_value))
        fields.nameless = fields.nameless or known_name is None
    else:
        fields.headers.append((known_name, known_value))
