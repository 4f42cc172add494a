"""Bytes as text: bodies for people (`text`) and for the schema (`encode_body`), headers (`readable`)."""

from __future__ import annotations

import base64
import codecs
import re
from typing import Literal

_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9._:+-]{1,40})""", re.IGNORECASE)
# Control characters that no text has; tab, line feed, form feed, carriage return and escape may occur.
_BINARY = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_LONGEST_CUT = 3
# Python has codecs that are no charsets, among them decompressors and quadratic ones (zlib, punycode).
_CODECS = ("ascii", "utf", "iso", "cp", "koi8", "mac", "latin", "shift", "euc", "gb", "big5", "hz", "tis")


def utf8_text(body: bytes | bytearray, *, cut: bool = False) -> str | None:
    """The body as text if it is valid UTF-8 without control characters, else None.

    :param cut: the body's end is missing, so an unfinished character there is left out.
    """
    try:
        text, used = codecs.utf_8_decode(body, "strict", not cut)
    except UnicodeDecodeError:
        return None
    if len(body) - used > _LONGEST_CUT or _BINARY.search(text):
        return None
    return text


def text(body: bytes | bytearray, content_type: str | None, *, cut: bool = False) -> str | None:
    """The body as text for people, by the charset that its content type names, else as UTF-8; or None."""
    named = _CHARSET.search(content_type or "")
    decoded = _decode(body, named[1], cut) if named is not None else None
    return decoded if decoded is not None else utf8_text(body, cut=cut)


def _decode(body: bytes | bytearray, charset: str, cut: bool) -> str | None:
    try:
        name = codecs.lookup(charset).name
        if not name.startswith(_CODECS):
            return None
        decoded = body.decode(name)
    except (LookupError, ValueError) as error:
        if not (cut and isinstance(error, UnicodeDecodeError) and len(body) - error.start <= _LONGEST_CUT):
            return None
        decoded = body[: error.start].decode(name)
    return None if _BINARY.search(decoded) else decoded


def encode_body(body: bytes | bytearray, *, cut: bool = False) -> tuple[str, Literal["utf-8", "base64"]]:
    """A body as the schema has it: the exact bytes come back from either encoding.

    The charset parameter does not matter here: text of another charset would not be the bytes of the wire.

    :param cut: a bound cut the body; up to three bytes of an unfinished UTF-8 character at its end go.
    """
    as_text = utf8_text(body, cut=cut)
    if as_text is not None:
        return as_text, "utf-8"
    return base64.b64encode(body).decode("ascii"), "base64"


def readable(raw: bytes) -> str:
    """Header bytes as text: UTF-8 if they are that, else Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
