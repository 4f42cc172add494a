"""What a plugin's locator answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Located:
    """A function that was found without a symbol. Addresses are ELF virtual addresses.

    `address`: of the function's first instruction.

    `by_signature`: it was recognised by what its code looks like, not concluded from symbols. Its probes are
    on trial: what they capture is shown when it agrees with what the process's sockets move, and they are
    withdrawn if it does not.

    `return_addresses`: for a probe with `only_from`: where the calls that count return to.
    """

    address: int
    by_signature: bool = False
    return_addresses: tuple[int, ...] = ()
