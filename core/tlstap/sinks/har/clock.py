"""Times as HAR has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tlstap.records import Exchange
from tlstap.sinks.har.model import Timings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS = 253_402_300_799_999_999_999
"""The last moment of the year 9999: no calendar of the readers' reaches further."""


def moment(time_ns: int) -> str:
    """A moment with milliseconds and zone; one outside the years 1970 to 9999 as the nearest inside."""
    at = _EPOCH + timedelta(microseconds=min(max(time_ns, 0), _LAST_NS) // 1000)
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def timings(exchange: Exchange) -> Timings:
    """How long sending, waiting and receiving took, as far as it is known."""
    request, response = exchange.request, exchange.response
    asked = request.start_ns if request else None
    asked_whole = request.end_ns if request else None
    answered = response.start_ns if response else None
    answered_whole = response.end_ns if response else None
    return Timings(
        send=_span(asked, asked_whole),
        wait=_span(asked_whole, answered),
        receive=_span(answered, answered_whole),
    )


def _span(start_ns: int | None, end_ns: int | None) -> float:
    """Milliseconds; 0 where an end is unknown, or where the answer came before the question's end."""
    if not start_ns or not end_ns:
        return 0.0
    return round(max(end_ns - start_ns, 0) / 1_000_000, 3)
