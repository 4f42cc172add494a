"""Where a message may begin, told by the bytes that stand there."""

from __future__ import annotations

import re
from collections.abc import Callable

from tlstap_redis.commands import CONFIRMATIONS, PUBLISHED, is_known

_HEAD = re.compile(rb"([*>])([1-9]\d{0,6})\r\n\$([1-9]\d?)\r\n")
_PART_OF_HEAD = re.compile(rb"[*>](?:[1-9]\d{0,6}(?:\r(?:\n(?:\$(?:[1-9]\d?(?:\r\n?)?)?)?)?)?)?\Z")
_PUSHED = (*PUBLISHED, b"invalidate")
_PART_OF_NAME = re.compile(rb"[A-Za-z][A-Za-z_.]*")
_COMMAND = re.compile(rb"(?:\A|(?<=\r\n))\*[1-9]\d{0,6}\r\n\$[1-9]\d?\r\n([A-Za-z][\w.-]{0,31})\r\n")
_PUSH = re.compile(rb"(?:\A|(?<=\r\n))(?:[*>][34]\r\n\$[78]\r\n[ps]?message|>2\r\n\$10\r\ninvalidate)\r\n")
_REPLY = re.compile(
    rb"(?:\+[ -~]*|-[A-Z]+ [ -~]*|:[+-]?\d{1,20}|[$*]-1|[$=!]\d{1,12}|_|#[tf]|,[-+.\deinfa]{1,32}"
    rb"|[*~%>|]\d{1,10}(?=\r\n(?:[-+:$*_#,(=!~%|]|\Z)))\r\n"
)


def is_command(start: bytes, *, from_client: bool) -> bool | None:
    """Is this the beginning of a command, as clients send it? None: perhaps, more bytes will tell.

    :param from_client: it is the client's in any case, else a server may say the same.
    """
    return _begins(start, b"*", _is_name if from_client else _is_only_name)


def is_push(start: bytes) -> bool | None:
    """Is this the beginning of something published? None: perhaps, more bytes will tell."""
    return _begins(start, b"*>", _is_pushed)


def find_command(payload: bytes) -> int | None:
    """Where the first command begins, at the start or behind a line's end; None if there is none."""
    return next((found.start() for found in _COMMAND.finditer(payload) if is_known(found[1])), None)


def find_push(payload: bytes) -> int | None:
    """Where the first published message begins, at the start or behind a line's end."""
    found = _PUSH.search(payload)
    return found.start() if found else None


def may_be_reply(payload: bytes) -> bool:
    """May a reply begin here? Only to be asked where one has to come."""
    return _REPLY.match(payload) is not None


def _is_name(word: bytes, whole: bool) -> bool:
    return is_known(word) if whole else not word or _PART_OF_NAME.fullmatch(word) is not None


def _is_only_name(word: bytes, whole: bool) -> bool:
    return _is_name(word, whole) and not (whole and word in CONFIRMATIONS)


def _is_pushed(word: bytes, whole: bool) -> bool:
    return word in _PUSHED if whole else any(push.startswith(word) for push in _PUSHED)


def _begins(start: bytes, types: bytes, fits: Callable[[bytes, bool], bool]) -> bool | None:
    """Is this an array of which the first element is a string that fits?

    :param fits: asked about the string, or what there is of it; and whether that is all.
    """
    head = _HEAD.match(start)
    if head is None:
        return None if start[:1] in types and _PART_OF_HEAD.match(start) else False
    if head[1] not in types:
        return False
    size = int(head[3])
    word = start[head.end() : head.end() + size]
    end = start[head.end() + size : head.end() + size + 2]
    if not b"\r\n".startswith(end) or not fits(word, len(word) == size):
        return False
    return True if len(end) == 2 else None
