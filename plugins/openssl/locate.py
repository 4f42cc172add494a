"""Finds OpenSSL's functions by symbols; in a file without those, by their signature.

Symbols do not tell everything. ssl_read_internal and ssl_write_internal, through which every read and write
goes, have none in most builds. SSL_read_ex hands its arguments (ssl, buffer, length, *moved) on to
ssl_read_internal, which SSL_read calls too; likewise SSL_write, SSL_write_ex and ssl_write_internal. From 3.3
on SSL_write_ex jumps into SSL_write_ex2 (ssl, buffer, length, flags, *moved), which hands its five arguments
on.

So the internal function is the only place that both of a pair call and that is not exported. That alone is
not enough: where the compiler inlined it (node's does), the pair shares some other helper. Therefore the _ex
function must call it first of all and with its own arguments untouched, which also proves where they are.
Nor is a symbol enough: node has one, for a copy that neither of the pair calls; and where a linker has left
out SSL_write_ex2 (cargo's has), only the arguments show that there are flags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tlstap.discovery.disassembly import call_targets, passes_arguments_on
from tlstap.errors import ElfError, NotLocatedError
from tlstap.plugins.openssl import signature

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.symbols import Symbol, SymbolLookup
    from tlstap.location import Located

_DATA = ("SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex", "SSL_write_ex2")
_OTHERS = ("SSL_do_handshake", "SSL_new", "SSL_clear", "ssl3_ctrl")
_PAIRS: dict[str, tuple[str, dict[str, int]]] = {
    signature.READ: ("SSL_read", {"SSL_read_ex": 4}),
    signature.WRITE: ("SSL_write", {"SSL_write_ex2": 5, "SSL_write_ex": 4}),
}
"""For each function: a caller, and those that hand on their arguments (how many), the first that exists."""

_lookups: WeakKeyDictionary[ElfImage, SymbolLookup] = WeakKeyDictionary()


def locate(image: ElfImage, function: str, *, signatures: bool = True) -> Located | int | None:
    """A function's address.

    :param signatures: what the code of the image looks like is known.
    :return: None if several functions have the name.
    :raises NotLocatedError: it is not found without doubt; the message says at which step.
    """
    lookup = _lookups.get(image)
    if lookup is None:
        lookup = _lookups[image] = image.find_symbols((*_DATA, *_OTHERS, *_PAIRS))
    complete = _is_complete(lookup)
    if function in _PAIRS and complete:
        return _internal(image, function, lookup.found)
    if function in lookup.found and function not in _PAIRS:
        return lookup.found[function].address
    if function in lookup.ambiguous:
        return None
    if complete:
        raise NotLocatedError("no symbol")
    if not signatures:
        raise NotLocatedError("no symbol, and how it looks without one is not known")
    return signature.SIGNATURE.locate(image, function)


def _is_complete(lookup: SymbolLookup) -> bool:
    """Whether functions that carry data and have no symbol are not there. A program may export a few."""
    known = lookup.found.keys() | lookup.ambiguous.keys()
    tables = {lookup.found[name].table for name in _DATA if name in lookup.found}
    ambiguous = not lookup.ambiguous.keys().isdisjoint(_DATA)
    return known >= {"SSL_read", "SSL_write"} or not tables <= {"dynsym"} or ambiguous


def _internal(image: ElfImage, function: str, symbols: dict[str, Symbol]) -> int:
    """Address of ssl_read_internal or ssl_write_internal."""
    caller, forwarders = _PAIRS[function]
    forwarder = next((name for name in forwarders if name in symbols), None)
    if forwarder is None or caller not in symbols:
        raise NotLocatedError(
            f"there are no symbols of {caller} and {' or '.join(forwarders)}, which call it"
        )
    pair = f"{caller} and {forwarder}"
    try:
        shared = call_targets(image, symbols[caller]) & call_targets(image, symbols[forwarder])
        if function in symbols:
            candidates = shared & {symbols[function].address}
        else:
            candidates = shared - image.exported_addresses()
        if len(candidates) != 1:
            raise NotLocatedError(f"{pair} call {len(candidates)} functions that it may be, not one")
        (address,) = candidates
        if not passes_arguments_on(image, symbols[forwarder], address, forwarders[forwarder]):
            raise NotLocatedError(f"{pair} call one function, but not with the arguments of {forwarder}")
    except ElfError as error:
        raise NotLocatedError(str(error)) from None
    return address
