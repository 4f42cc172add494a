"""Finds the functions of NSS's libssl3 that carry TLS and nothing else. They are static, and it is stripped.

NSPR's file descriptors are objects: a PRIOMethods (prio.h) is the table of their functions, behind a word
that says of which kind they are, 4 (PR_DESC_LAYERED) for layers such as TLS. NSS's own table leads to the
functions. It is either constant, with relocations for its words, or the library fills it when it starts, from
a copy of what PR_GetDefaultIOMethods returns: then that call shows which function to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tlstap.discovery.imports import call_sites
from tlstap.discovery.relocations import Relocations
from tlstap.discovery.straight_line import execute
from tlstap.discovery.symbolic import Address
from tlstap.discovery.unwind import function_bounds
from tlstap.errors import ElfError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

LAYERED = 4
SLOTS = {
    "ssl_Close": 1,
    "ssl_Read": 2,
    "ssl_Write": 3,
    "ssl_WriteV": 11,
    "ssl_Accept": 13,
    "ssl_Recv": 17,
    "ssl_Send": 18,
}
"""Which word of a PRIOMethods each function is in; word 0 is the kind."""

_TABLE = range(1, 36)
"""The slots of a PRIOMethods."""
_WORD = 8
_MIN_OWN = 20
"""Slots that lead into the library's own code: NSS has 24, and takes the others from NSPR."""
_DEFAULTS = "PR_GetDefaultIOMethods"
_MAX_FILLERS = 16

_tables: WeakKeyDictionary[ElfImage, Mapping[str, int]] = WeakKeyDictionary()


def locate(image: ElfImage, function: str) -> int | None:
    """Address of one of the functions in SLOTS.

    :return: None if it is not found without doubt.
    """
    if function not in SLOTS:
        return None
    if image not in _tables:
        try:
            _tables[image] = _functions(image)
        except ElfError:
            _tables[image] = {}
    return _tables[image].get(function)


def _functions(image: ElfImage) -> Mapping[str, int]:
    """The functions, if all tables agree on them; empty if there is none or several."""
    relocations = Relocations(image)
    found = []
    # NSPR's own default table is of the same kind. Where it is in the image too, a constant table may be it.
    if not image.symbols([_DEFAULTS]):
        found += list(_constant_tables(image, relocations))
    found += list(_filled_tables(image, relocations))
    if not found or any(functions != found[0] for functions in found):
        return {}
    return found[0]


def _constant_tables(image: ElfImage, relocations: Relocations) -> Iterator[Mapping[str, int]]:
    relative = relocations.relative
    for close in relative:
        table = close - SLOTS["ssl_Close"] * _WORD
        # Most words are dropped here, without a look at all of what would be their table.
        if table in relative or any(table + slot * _WORD not in relative for slot in SLOTS.values()):
            continue
        functions = _functions_of(image, (relative.get(table + slot * _WORD) for slot in _TABLE))
        if functions and _kind(image, relocations, table) == LAYERED:
            yield functions


def _kind(image: ElfImage, relocations: Relocations, table: int) -> int | None:
    """The first 4 bytes of a constant table, unless the loader changes them."""
    if table in relocations.all_places or image.file_offset(table) is None:
        return None
    return int.from_bytes(image.read(table, 4), "little")


def _filled_tables(image: ElfImage, relocations: Relocations) -> Iterator[Mapping[str, int]]:
    """The tables that functions store which call PR_GetDefaultIOMethods."""
    fillers = {function_bounds(image, site) for site in call_sites(image, relocations, _DEFAULTS)} - {None}
    if len(fillers) > _MAX_FILLERS:
        raise image.error(f"{len(fillers)} functions call {_DEFAULTS}")
    for filler in fillers:
        assert filler is not None
        outcome = execute(image, relocations, filler)
        if all(call.name != _DEFAULTS for call in outcome.calls):
            continue
        for table in outcome.stored:
            if outcome.number(table, 4) == LAYERED:
                words = (outcome.word(table + slot * _WORD) for slot in _TABLE)
                functions = _functions_of(
                    image, (word.value if isinstance(word, Address) else None for word in words)
                )
                if functions:
                    yield functions


def _functions_of(image: ElfImage, words: Iterable[int | None]) -> Mapping[str, int] | None:
    """The functions that a table leads to, by the addresses in its slots; None if it is not such a table."""
    own = {slot: word for slot, word in zip(_TABLE, words, strict=True) if word and image.is_code(word)}
    functions = {name: own[slot] for name, slot in SLOTS.items() if slot in own}
    if len(own) < _MIN_OWN or len(set(functions.values())) != len(SLOTS):
        return None
    return functions
