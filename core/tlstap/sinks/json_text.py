"""Indents JSON without changing it: numbers, keys given twice and their order stay as they were sent."""

from __future__ import annotations

import json
import re

from tlstap.sinks.escape import escape
from tlstap.sinks.layout import Segment

MAX_CHARACTERS = 65_536
MAX_DEPTH = 24
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def indent_json(text: str, limit: int | None) -> tuple[list[list[Segment]], int] | None:
    """Lines for `text`, and how many of its characters they show; None if it is not JSON, large or deep.

    :param limit: of the text's characters.
    """
    if len(text) > MAX_CHARACTERS or not _is_json(text):
        return None
    tokens = list(_TOKEN.finditer(text))
    lines: list[list[Segment]] = [[]]
    depth = 0
    for index, match in enumerate(tokens):
        token = match.group()
        following = tokens[index + 1].group() if index + 1 < len(tokens) else ""
        if limit is not None and match.end() > limit:
            lines[-1].append(("", escape(token[: max(limit - match.start(), 0)])))
            return lines, min(limit, len(text))
        if token in "{[":
            lines[-1].append(("", token))
            if following not in ("}", "]"):
                depth += 1
                lines.append(_margin(depth))
        elif token in "}]":
            if tokens[index - 1].group() not in ("{", "["):
                depth -= 1
                lines.append(_margin(depth))
            lines[-1].append(("", token))
        elif token == ",":
            lines[-1].append(("", token))
            lines.append(_margin(depth))
        elif token == ":":
            lines[-1].append(("", ": "))
        elif token[0] == '"':
            lines[-1].append(("key" if following == ":" else "string", escape(token)))
        else:
            lines[-1].append(("literal", escape(token)))
        if depth > MAX_DEPTH:
            return None
    return lines, len(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _margin(depth: int) -> list[Segment]:
    return [("", "  " * depth)] if depth else []
