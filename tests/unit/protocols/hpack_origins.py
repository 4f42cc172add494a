"""Where each header of a story comes from: the oracle of tests that lose a story's beginning."""

from __future__ import annotations

from dataclasses import dataclass

from hpack import Decoder, HeaderTuple
from hpack.table import HeaderTable
from tests.support.http2_cases import Story


class _Traced(bytes):
    """A name or value that stood in the dynamic table since block `since`."""

    since: int

    @classmethod
    def make(cls, value: bytes, block: int) -> _Traced:
        traced = cls(value)
        traced.since = value.since if isinstance(value, _Traced) else block
        return traced


class _TracingTable(HeaderTable):
    block = 0

    def add(self, name: bytes, value: bytes) -> None:
        super().add(_Traced.make(name, self.block), _Traced.make(value, self.block))


class _TracingDecoder(Decoder):
    """Keeps what it decodes as it is, since `decode` gives out copies."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.max_allowed_table_size = 1 << 20
        self.table = self.header_table = _TracingTable()
        self.found: list[tuple[bytes, bytes]] = []

    def _decode_indexed(self, data: bytes | memoryview) -> tuple[HeaderTuple, int]:
        return self._note(super()._decode_indexed(data))

    def _decode_literal(self, data: bytes | memoryview, should_index: bool) -> tuple[HeaderTuple, int]:
        return self._note(super()._decode_literal(data, should_index))

    def _note(self, result: tuple[HeaderTuple, int]) -> tuple[HeaderTuple, int]:
        name, value = result[0]
        self.found.append((name, value))
        return result


@dataclass(frozen=True)
class Field:
    """A header; somebody who followed from block `name_since` on knows its name, and likewise its value."""

    name: str
    value: str
    name_since: int
    value_since: int

    def seen_from(self, block: int) -> tuple[str | None, str | None]:
        """What somebody knows of it who saw that block and all behind it."""
        return (
            self.name if self.name_since >= block else None,
            self.value if self.value_since >= block else None,
        )


def origins(story: Story) -> list[list[Field]]:
    """The headers of each block of a story, by a decoder that sees all of it."""
    decoder = _TracingDecoder()
    blocks = []
    for number, block in enumerate(story.blocks):
        decoder.table.block = number
        decoder.found = []
        decoder.decode(block.wire, raw=True)
        fields = [
            Field(name.decode(), value.decode(), _since(name), _since(value)) for name, value in decoder.found
        ]
        assert [(field.name, field.value) for field in fields] == list(block.headers), story.name
        blocks.append(fields)
    return blocks


def _since(value: bytes) -> int:
    """Literals and the static table are always known."""
    return value.since if isinstance(value, _Traced) else 1 << 30
