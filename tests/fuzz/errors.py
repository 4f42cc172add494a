"""What fuzzers report."""

from __future__ import annotations


class BrokenError(AssertionError):
    """An input broke what must hold."""
