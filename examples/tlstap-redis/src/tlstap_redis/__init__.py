"""Redis for tlstap: commands and their replies, pushes and errors, in RESP2 and RESP3."""

from __future__ import annotations

from collections.abc import Sequence

import tlstap

tlstap.requires_contract(1)

from tlstap_redis.protocol import Redis  # noqa: E402 - a tlstap that is too old says so before it fails

__all__ = ["Redis", "tlstap_protocols"]


@tlstap.hookimpl
def tlstap_protocols() -> Sequence[tlstap.Protocol]:
    return (Redis(),)
