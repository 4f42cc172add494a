"""What a protocol says of a message besides its content: short things as words, the rest below as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pydantic import JsonValue

from tlstap.sinks.base import OutputOptions
from tlstap.sinks.content import content_lines
from tlstap.sinks.escape import escape
from tlstap.sinks.layout import Segment

MAX_WORD = 80
"""Characters of a string that stands in a heading."""
MAX_WORDS = 12

_PLAIN = re.compile(r"[\w./:+@-]+")

Details = dict[str, JsonValue]


def split(details: Details) -> tuple[list[str], Details]:
    """What fits into a heading, as escaped words (key=value, or the key of what is true), and the rest."""
    words: list[str] = []
    rest: Details = {}
    for key, value in details.items():
        word = _word(key, value) if len(words) < MAX_WORDS else None
        if word is None:
            rest[key] = value
        elif word:
            words.append(word)
    return words, rest


def _word(key: str, value: JsonValue) -> str | None:
    """A detail as a word, "" if it says nothing; None if it is none."""
    if value is None or len(key) > MAX_WORD:
        return "" if value is None else None
    match value:
        case True:
            return escape(key)
        case str():
            if len(value) > MAX_WORD:
                return None
            shown = value if _PLAIN.fullmatch(value) else _json(value)
        case list() | dict() if len(value) > MAX_WORDS:
            return None
        case _:
            shown = _json(value)
            if len(shown) > MAX_WORD:
                return None
    return escape(f"{key}={shown}")


def json_lines(value: JsonValue, options: OutputOptions) -> Iterator[list[Segment]]:
    """A value as indented JSON."""
    return content_lines(_json(value).encode("utf-8", "backslashreplace"), options)


def _json(value: JsonValue) -> str:
    """JSON, also of what a plugin should not have put into it."""
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError):
        return '"[nested too deeply]"'
