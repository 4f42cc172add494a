"""The document, written as it grows."""

from __future__ import annotations

import json
import os
import stat
import sys
from importlib.metadata import version
from typing import TextIO

from tlstap.sinks.har.model import Creator

_NEXT = ",\n"


class Document:
    """Writes the frame and the entries in it. It is valid JSON once it is closed.

    A file is valid JSON whenever it is flushed: it has its end behind each entry, over which the next one is
    written. Not so what goes to stdout, even if that is a file: others may write there, too.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rewinds = _is_file(stream) and stream is not sys.stdout
        self._end = stream.tell() if self._rewinds else 0
        creator = Creator(name="tlstap", version=version("tlstap")).json_text()
        self._before = f'{{"log":{{"version":"1.2","creator":{creator},"entries":[\n'
        if self._rewinds:
            self._put("", "")

    def add(self, entry: str) -> None:
        """Write an entry, which is JSON."""
        self._put(entry, _NEXT)

    def close(self, comment: str | None) -> None:
        """Write the end."""
        if self._rewinds:
            self._stream.seek(self._end)
            self._stream.truncate()
        self._stream.write(self._before.removesuffix(_NEXT) + _tail(comment))

    def _put(self, entry: str, before_next: str) -> None:
        # In this order, so that an interrupt leaves nothing that could not be closed.
        text, self._before = self._before + entry, before_next
        if not self._rewinds:
            self._stream.write(text)
            return
        self._stream.seek(self._end)
        self._stream.write(text + _tail(None))
        # tell() would flush, and what is then in the file has no end.
        self._end += len(text.encode())


def _is_file(stream: TextIO) -> bool:
    """Is it one to which positions apply, in bytes of UTF-8?"""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode) and stream.encoding.lower() == "utf-8"
    except OSError:
        return False


def _tail(comment: str | None) -> str:
    if comment is None:
        return "\n]}}\n"
    return f'\n],"comment":{json.dumps(comment)}}}}}\n'
