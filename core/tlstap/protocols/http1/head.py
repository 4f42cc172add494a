"""Heads of HTTP/1 messages: where they start, what they say, how the body behind them is framed.

Header fields are read by h11. Start lines are read here: finding them again after a gap needs that anyway,
and h11 refuses what a tracer has to show (no Host, a target in UTF-8, a 101 that it saw no request for).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11

from tlstap.protocols.http.charset import readable

# Methods that are looked for in the middle of unknown bytes; at a place where a message should start any
# method goes.
_METHODS = (
    rb"GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE|"
    rb"PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|REPORT|LOCK|UNLOCK|SEARCH"
)
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]{1,23}) ([^\x00-\x20\x7f][^\x00\r\n]*?) HTTP/(1\.[01])\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2})(?: ([^\x00\r\n]*))?\r?\n")
_REQUEST_PREFIX = re.compile(rb"[A-Z][A-Z-]{0,23}(?: (?:[^\x00-\x20\x7f][^\x00\r\n]*\r?)?)?\Z")
_STATUS_PREFIX = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\x00\r\n]*)?\r?\Z")
_STATUS_START = re.compile(
    rb"(?:H(?:T(?:T(?:P(?:/(?:1(?:\.(?:[01](?: (?:[1-9][0-9]{0,2})?)?)?)?)?)?)?)?)?)\Z"
)

_END_OF_REQUEST_LINE = re.compile(rb" HTTP/1\.[01]\r?\n")
_LAST_METHOD = re.compile(rb"(?:" + _METHODS + rb") [^\x00-\x20\x7f]+\Z")
_STATUS_ANYWHERE = re.compile(rb"HTTP/1\.[01] [1-5][0-9]{2}(?: [^\x00\r\n]{0,128})?\r?\n")
_END_OF_HEAD = re.compile(rb"\n\r?\n")

MAX_LINE = 16 * 1024
MAX_SEARCHED_LINE = 4 * 1024
"""Longest start line that is looked for in the middle of unknown bytes."""


@dataclass(slots=True)
class Head:
    """A parsed head. `chunks` is h11's reader, ready for the body, if that is chunked."""

    is_request: bool
    version: str
    method: str
    target: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    content_length: int | None
    chunks: h11.Connection | None
    upgrade: bool
    expects_continue: bool


def starts_message(start: bytes | bytearray, is_request: bool | None) -> bool | None:
    """Is this the beginning of a message? None: so far it may be.

    :param is_request: which kind it must be, None for either.
    """
    if is_request is not False:
        if _REQUEST_LINE.match(start):
            return True
        if _REQUEST_PREFIX.match(start):
            return None
    if is_request is not True:
        if _STATUS_LINE.match(start):
            return True
        if _STATUS_PREFIX.match(start) or _STATUS_START.match(start):
            return None
    return False


def find_message(data: bytearray, is_request: bool | None) -> int | None:
    """Where in unknown bytes the next message starts, as far as its whole start line is there."""
    found: list[int] = []
    if is_request is not True and (status := _STATUS_ANYWHERE.search(data)):
        found.append(status.start())
    if is_request is not False:
        for end in _END_OF_REQUEST_LINE.finditer(data):
            line = max(data.rfind(b"\n", 0, end.start()) + 1, end.start() - MAX_SEARCHED_LINE)
            if method := _LAST_METHOD.search(data[line : end.start()]):
                found.append(line + method.start())
                break
    return min(found, default=None)


def start_of(data: bytearray) -> tuple[str, int]:
    """Method and status of the message that starts here, as far as its start line is there; else ("", 0)."""
    if request := _REQUEST_LINE.match(data):
        return request[1].decode("ascii"), 0
    status = _STATUS_LINE.match(data)
    return "", int(status[2]) if status else 0


def end_of_head(data: bytearray, searched: int) -> int | None:
    """Where the head at the beginning of `data` ends; the first `searched` bytes are known not to hold it."""
    end = _END_OF_HEAD.search(data, max(0, searched - 2))
    return end.end() if end else None


def parse_head(raw: bytes, max_head: int) -> Head | None:
    """Parse a whole head; None if its fields are no valid HTTP."""
    line = _REQUEST_LINE.match(raw)
    is_request = line is not None
    line = line or _STATUS_LINE.match(raw)
    if line is None:
        return None
    # As the head of a response the fields meet no rule but the grammar, and any framing is possible.
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=max_head)
    reader.receive_data(b"HTTP/1.1 200 \r\n" + raw[line.end() :])
    try:
        event = reader.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Response):
        return None
    fields = dict(event.headers)
    tokens = fields.get(b"connection", b"").lower()
    length = fields.get(b"content-length")
    return Head(
        is_request=is_request,
        version=line[3 if is_request else 1].decode("ascii"),
        method=line[1].decode("ascii") if is_request else "",
        target=readable(line[2]) if is_request else "",
        status=0 if is_request else int(line[2]),
        reason="" if is_request else readable(line[3] or b""),
        headers=[(readable(name), readable(value)) for name, value in event.headers.raw_items()],
        content_length=int(length) if length is not None else None,
        chunks=reader if b"transfer-encoding" in fields else None,
        upgrade=b"upgrade" in fields and b"upgrade" in tokens,
        expects_continue=fields.get(b"expect", b"").lower() == b"100-continue",
    )
