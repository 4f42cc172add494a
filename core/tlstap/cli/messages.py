"""What tlstap says about itself: lines on stderr. stdout is for captured data."""

from __future__ import annotations

import contextlib
import sys

from tlstap.sinks.escape import escape, escape_lines


def say(message: str) -> None:
    """Write `tlstap: message` as one line; what it quotes from the machine is escaped."""
    _write(f"tlstap: {escape(message)}\n")


def say_lines(text: str) -> None:
    """Write several lines as they are, escaped."""
    _write("".join([f"{line}\n" for line in escape_lines(text)]))


def _write(text: str) -> None:
    # Somebody who closed stderr does not want to hear about it.
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
