"""Finds the internal functions through which every read and write of OpenSSL goes, without symbols.

SSL_read_ex hands its arguments (ssl, buffer, length, *moved) on to ssl_read_internal, which SSL_read calls
too; likewise SSL_write, SSL_write_ex and ssl_write_internal. From 3.3 on SSL_write_ex jumps into
SSL_write_ex2 (ssl, buffer, length, flags, *moved), which hands its five arguments on.

So the internal function is the only place that both of a pair call and that is not exported. That alone is
not enough: where the compiler inlined it (node's does), the pair shares some other helper. Therefore the _ex
function must call it first of all and with its own arguments untouched, which also proves where they are.
Nor is a symbol enough: node has one, for a copy that neither of the pair calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlstap.discovery.disassembly import call_targets, passes_arguments_on
from tlstap.errors import ElfError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

_PAIRS: dict[str, tuple[str, dict[str, int]]] = {
    "ssl_read_internal": ("SSL_read", {"SSL_read_ex": 4}),
    "ssl_write_internal": ("SSL_write", {"SSL_write_ex2": 5, "SSL_write_ex": 4}),
}
"""For each function: a caller, and those that hand on their arguments (how many), the first that exists."""


def locate(image: ElfImage, function: str) -> int | None:
    """Address of ssl_read_internal or ssl_write_internal.

    :return: None if it is not found without doubt.
    """
    pair = _PAIRS.get(function)
    if pair is None:
        return None
    caller, forwarders = pair
    symbols = image.symbols([function, caller, *forwarders])
    forwarder = next((name for name in forwarders if name in symbols), None)
    if forwarder is None or caller not in symbols:
        return None
    try:
        shared = call_targets(image, symbols[caller]) & call_targets(image, symbols[forwarder])
        if function in symbols:
            address = symbols[function].address
            return address if address in shared else None
        candidates = shared - image.exported_addresses()
        if len(candidates) != 1:
            return None
        (address,) = candidates
        if not passes_arguments_on(image, symbols[forwarder], address, forwarders[forwarder]):
            return None
    except ElfError:
        return None
    return address
