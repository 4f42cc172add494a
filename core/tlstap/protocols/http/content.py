"""Content codings (gzip, deflate, br, zstd, stacked ones), decoded piece by piece in bounded memory.

Every stage gives out pieces of at most 64 KiB, so that a decompression bomb is noticed while it unfolds:
whoever consumes the pieces stops when there were enough.
"""

from __future__ import annotations

import abc
import zlib
from collections.abc import Iterator, Sequence

import brotli
import zstandard

PIECE = 64 * 1024
MAX_CODINGS = 4
# RFC 9659: a decoder need not support larger windows, and must guard against them.
_ZSTD_WINDOW = 8 << 20


class ContentError(Exception):
    """The bytes are not what the coding promises, or the coding is unknown."""


class Stage(abc.ABC):
    """Undoes one coding. `memory` is about what it holds, in bytes."""

    memory: int = 64 * 1024
    finished: bool = False
    """The coded data came to its own end. (zstd does not tell: always True.)"""
    proves_whole: bool = False
    """`finished` shows by a checksum that nothing is missing."""

    @abc.abstractmethod
    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded form of the next bytes, in pieces; raises ContentError."""


class _Zlib(Stage):
    """gzip (also of several members) and deflate, which servers send with and without zlib's wrapper."""

    def __init__(self, gzip: bool) -> None:
        self._gzip = self.proves_whole = gzip
        self._start = b""
        self._inflate: zlib._Decompress | None = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzip else None

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            self._start += data
            if len(self._start) < 2:
                return
            data, self._start = self._start, b""
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self.proves_whole = wrapped
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        # Slices keep the cost of the library's copies of unused input linear.
        for at in range(0, len(data), 16384):
            yield from self._slice(data[at : at + 16384])

    def _slice(self, data: bytes) -> Iterator[bytes]:
        if self.finished:
            if not self._gzip:
                return
            data, self._start = self._start + data, b""
            if not self._next_member(data):
                return
        while True:
            assert self._inflate is not None
            try:
                out = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise ContentError(str(error)) from None
            if out:
                yield out
            if self._inflate.eof:
                self.finished = True
                data = self._inflate.unused_data
                if not (self._gzip and self._next_member(data)):
                    return
                continue
            data = self._inflate.unconsumed_tail
            if not data and len(out) < PIECE:
                return

    def _next_member(self, data: bytes) -> bool:
        """Begin the next gzip member if `data` starts one; other bytes behind the end are padding."""
        if data[:2] == b"\x1f\x8b":
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            self.finished = False
            return True
        self._start = data if data == b"\x1f" else b""
        return False


class _Brotli(Stage):
    memory = 4 << 20

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def decode(self, data: bytes) -> Iterator[bytes]:
        while not self.finished:
            try:
                out: bytes = self._decompressor.process(data, output_buffer_limit=PIECE)
            except brotli.error as error:
                raise ContentError(str(error)) from None
            data = b""
            self.finished = self._decompressor.is_finished()
            if out:
                yield out
            elif self._decompressor.can_accept_more_data():
                return


class _Pieces:
    """What zstandard's stream writer writes to."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)


class _Zstd(Stage):
    memory = 4 << 20
    finished = True
    # A block of 4 bytes can stand for 128 KiB, and the writer can't be paused: a slice yields at most 8 MiB.
    _SLICE = 256

    def __init__(self) -> None:
        self._output = _Pieces()
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._writer = decompressor.stream_writer(self._output, write_size=PIECE)  # type: ignore[arg-type]

    def decode(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), self._SLICE):
            try:
                self._writer.write(data[at : at + self._SLICE])
            except zstandard.ZstdError as error:
                raise ContentError(str(error)) from None
            pieces, self._output.pieces = self._output.pieces, []
            yield from pieces


def _stage(coding: str) -> Stage | None:
    match coding:
        case "gzip" | "x-gzip":
            return _Zlib(gzip=True)
        case "deflate":
            return _Zlib(gzip=False)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
        case _:
            return None


class ContentDecoder:
    """Undoes all codings of a body."""

    def __init__(self, codings: Sequence[str]) -> None:
        """:param codings: in the order in which they were applied, lower case, without "identity".

        :raises ContentError: one of them is unknown, or there are too many.
        """
        if len(codings) > MAX_CODINGS:
            raise ContentError(f"{len(codings)} stacked codings, at most {MAX_CODINGS} are undone")
        self._stages: list[Stage] = []
        for coding in reversed(codings):
            stage = _stage(coding)
            if stage is None:
                raise ContentError(f"unknown content coding {coding!r}")
            self._stages.append(stage)
        self.memory = sum(stage.memory for stage in self._stages)

    @property
    def finished(self) -> bool:
        """Every coding came to its own end."""
        return all(stage.finished for stage in self._stages)

    @property
    def proven(self) -> bool:
        """Do checksums show that the body is whole?"""
        return self.finished and all(stage.proves_whole for stage in self._stages)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded form of the next bytes, in pieces; raises ContentError."""
        return self._through(0, data)

    def _through(self, depth: int, data: bytes) -> Iterator[bytes]:
        if depth == len(self._stages):
            yield data
            return
        for piece in self._stages[depth].decode(data):
            yield from self._through(depth + 1, piece)


def codings(headers: Sequence[tuple[str, str]]) -> list[str]:
    """The content codings that headers name, in the order in which they were applied."""
    names: list[str] = []
    for name, value in headers:
        if name.lower() == "content-encoding":
            names.extend(coding.strip().lower() for coding in value.split(","))
    return [name for name in names if name and name != "identity"]
