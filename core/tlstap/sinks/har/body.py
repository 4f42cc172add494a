"""Bodies: text by its charset, as the standard wants it, and base64 where it is none."""

from __future__ import annotations

import base64
from typing import Literal

from tlstap.protocols.http import charset
from tlstap.records import Exchange, Message, Missing
from tlstap.sinks.har.model import Content, NameValue, PostData
from tlstap.sinks.har.url import MAX_FORM, parameters

EVENT_STREAM = "text/event-stream"
_Encoded = tuple[str, Literal["base64"] | None]


def header(message: Message, wanted: str) -> str:
    """The value of the first header of that name (lower case), else ""."""
    return next((value for name, value in message.headers if name.lower() == wanted), "")


def encoded(data: bytes | bytearray, content_type: str, *, cut: bool) -> _Encoded:
    """The text and None, or base64 and the word "base64".

    :param cut: a bound cut the data; an unfinished character at its end is left out.
    """
    text = charset.text(data, content_type, cut=cut)
    return (base64.b64encode(data).decode("ascii"), "base64") if text is None else (text, None)


def wire_size(message: Message | None, missing: list[Missing]) -> int:
    """The body's size as transferred; -1 if not all of it was seen."""
    if message is None:
        return -1
    whole, part = f"{_half(message)}", f"{_half(message)} body"
    seen = not any(
        item.part in (whole, part) and item.reason in ("lost", "not seen", "unfinished") for item in missing
    )
    return message.body_wire_bytes if seen else -1


def post_data(message: Message) -> PostData | None:
    """A request's body; None if it has none.

    The standard has a form either as text or as params. Browsers write both, and so do we: most readers
    know only the text.
    """
    if not message.body and not message.body_bytes:
        return None
    content_type = header(message, "content-type")
    text, encoding = _encoded(message)
    params: tuple[NameValue, ...] | None = None
    if encoding is None and len(text) <= MAX_FORM and _is_form(content_type):
        params = parameters(text)
    return PostData(
        mime_type=content_type, params=params, text=text, encoding=encoding, comment=_left_out(message)
    )


def content(exchange: Exchange) -> Content:
    """A response's body."""
    message = exchange.response
    if message is None:
        return Content(size=0, mime_type="")
    text, encoding = _encoded(message)
    wire = wire_size(message, exchange.missing)
    return Content(
        size=message.body_bytes,
        compression=message.body_bytes - wire if wire >= 0 else None,
        # Chromium's reader knows this type only without parameters, of which it has no use for any.
        mime_type=EVENT_STREAM if exchange.body_format == "sse" else header(message, "content-type"),
        text=text,
        encoding=encoding,
        comment=_left_out(message),
    )


def _half(message: Message) -> str:
    return "request" if message.is_request else "response"


def _encoded(message: Message) -> _Encoded:
    cut = message.body_bytes > len(message.body)
    return encoded(message.body, header(message, "content-type"), cut=cut)


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"


def _left_out(message: Message) -> str | None:
    rest = message.body_bytes - len(message.body)
    return f"{rest} bytes more were not kept" if rest > 0 else None
