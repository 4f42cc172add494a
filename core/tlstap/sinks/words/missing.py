"""What is missing, in words."""

from __future__ import annotations

from tlstap.records import Exchange, Missing
from tlstap.sinks.escape import escape
from tlstap.sinks.heading import count


def missing_words(missing: Missing) -> str:
    """One thing that lacks: "response not seen", "12 bytes of the message lost"."""
    if missing.bytes is None:
        return f"{missing.part} {missing.reason}"
    return f"{count(missing.bytes, 'byte')} of the {missing.part} {missing.reason}"


def trouble(exchange: Exchange, *, complete: bool) -> str:
    """What went wrong with an exchange that is over: "" for nothing."""
    reset = exchange.reset
    # That a reset leaves things unfinished goes without saying.
    told = [item for item in exchange.missing if reset is None or item.reason != "unfinished"]
    lacks = "; ".join([_part(exchange, missing) for missing in told])
    if reset is not None:
        return f"reset: {escape(reset)}" + (f"; {lacks}" if lacks else "")
    if lacks or not complete:
        return "incomplete" + (f": {lacks}" if lacks else "")
    return ""


def _part(exchange: Exchange, missing: Missing) -> str:
    """What lacks; of headers of which some are known, how many."""
    message = exchange.request if missing.part == "request headers" else exchange.response
    if missing.part in ("request headers", "response headers") and missing.bytes is None:
        unknown = len(message.unknown_headers) if message is not None else 0
        if unknown:
            return f"{count(unknown, missing.part.removesuffix('s'))} {missing.reason}"
    return missing_words(missing)
