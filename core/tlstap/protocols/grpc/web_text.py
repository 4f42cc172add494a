"""The base64 in which gRPC-Web goes through what passes only text."""

from __future__ import annotations

import binascii
import re

_SPACE = b"\r\n\t "
# A server may encode each message for itself, so padding can stand anywhere.
_PADDED = re.compile(rb"[^=]+={0,2}")


class WebTextError(Exception):
    """This is not base64."""


class WebText:
    """Decodes base64 piece by piece."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, piece: bytes) -> bytes:
        """The next bytes; raises WebTextError."""
        text = self._rest + piece.translate(None, _SPACE)
        whole = len(text) & ~3
        text, self._rest = text[:whole], text[whole:]
        try:
            return b"".join(binascii.a2b_base64(part, strict_mode=True) for part in _parts(text))
        except binascii.Error as error:
            raise WebTextError(str(error)) from None

    @property
    def unfinished(self) -> bool:
        """Are there characters that wait for others?"""
        return bool(self._rest)


def _parts(text: bytes) -> list[bytes]:
    parts: list[bytes] = _PADDED.findall(text)
    if sum(map(len, parts)) != len(text):
        raise WebTextError("padding where none belongs")
    return parts
