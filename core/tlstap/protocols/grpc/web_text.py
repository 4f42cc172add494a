"""The base64 in which gRPC-Web goes through what passes only text."""

from __future__ import annotations

import binascii
import re

_SPACE = b"\r\n\t "
# A server may encode each message for itself, so padding can stand anywhere.
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


class WebText:
    """Decodes base64 piece by piece, up to the first place that is none: then it is `broken`."""

    __slots__ = ("_rest", "broken")

    def __init__(self) -> None:
        self._rest = b""
        self.broken = False

    def decode(self, piece: bytes) -> bytes:
        """The next bytes."""
        if self.broken:
            return b""
        text = self._rest + piece.translate(None, _SPACE)
        whole = len(text) & ~3
        text, self._rest = text[:whole], text[whole:]
        decoded, at = [], 0
        while at < len(text):
            part = _BASE64.match(text, at)
            if part is None or not part[0]:
                self.broken = True
                break
            decoded.append(binascii.a2b_base64(part[0]))
            at = part.end()
        return b"".join(decoded)

    @property
    def unfinished(self) -> bool:
        """Are there characters that wait for others?"""
        return bool(self._rest)
