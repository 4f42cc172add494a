"""What kind of body a message's headers announce."""

from __future__ import annotations

from collections.abc import Iterable


def media_type(headers: Iterable[tuple[str, str]]) -> str:
    """The media type of Content-Type in lower case, without parameters; empty if there is none."""
    return header(headers, "content-type").partition(";")[0].strip().lower()


def header(headers: Iterable[tuple[str, str]], wanted: str) -> str:
    """The value of the first header of that name (given in lower case); empty if there is none."""
    return next((value for name, value in headers if name.lower() == wanted), "")
