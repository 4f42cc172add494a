"""The body of one HTTP message: undoes content codings, keeps what the limits allow, says what is missing."""

from __future__ import annotations

from typing import Literal

from tlstap.protocols.http.content import ContentDecoder, ContentError, codings
from tlstap.protocols.http.context import Context
from tlstap.protocols.http.part_stream import PartStream
from tlstap.records import Direction, Exchange, Message, Missing, MissingPart

# Until a coding has given something out, what went in is kept: servers label plain bodies as coded.
_PROBATION = 64 * 1024
# What a body may swell to by decoding, as a multiple of its transferred size; deflate's own bound is 1032.
_RATIO = 1100


class Body:
    """Collects a message's body into `message`, and has its format read it.

    What is kept is always a prefix of the decoded body, apart from gaps in bodies without content coding.
    """

    __slots__ = (
        "_coded",
        "_decoder",
        "_decoder_memory",
        "_memory",
        "_message",
        "_mode",
        "_parts",
        "_raw",
        "_skipped",
        "_trusted",
        "held",
        "lost",
    )

    def __init__(self, context: Context, exchange: Exchange, message: Message, direction: Direction) -> None:
        self._message = message
        self._memory = context.memory
        self._parts = PartStream(context, exchange, message, direction)
        # plain: as transferred; raw: likewise, though it is coded; spoilt and bomb: no longer kept.
        self._mode: Literal["plain", "decode", "raw", "spoilt", "bomb"] = "plain"
        self._decoder: ContentDecoder | None = None
        self._decoder_memory = 0
        self._raw: list[bytes] = []
        self._skipped = 0
        # What was decoded until it became doubtful whether anything is missing.
        self._trusted: int | None = None
        self.held = 0
        """Bytes taken from the allowance for `message.body`; the caller gives them back."""
        self.lost = 0
        coded = codings(message.headers)
        self._coded = bool(coded)
        if coded:
            self._start_decoder(coded)

    def _start_decoder(self, coded: list[str]) -> None:
        self._mode = "raw"
        try:
            decoder = ContentDecoder(coded)
        except ContentError:
            return
        self._decoder_memory = self._memory.take(decoder.memory)
        if self._decoder_memory < decoder.memory:
            self._drop_decoder("raw")
        else:
            self._decoder, self._mode = decoder, "decode"

    def feed(self, payload: bytes) -> None:
        """Take transferred bytes of the body, transfer coding already removed."""
        self._message.body_wire_bytes += len(payload)
        if self._decoder is not None:
            self._decode(self._decoder, payload)
        elif self._mode in ("plain", "raw"):
            self._keep(payload)
        else:
            self._skipped += len(payload)

    def gap(self, size: int) -> None:
        """Bytes of the body were never captured. Behind them a coded body can't be decoded."""
        self.lost += size
        self._parts.gap(None if self._decoder is not None else size)
        if self._mode == "decode":
            self._drop_decoder("spoilt")

    def doubt(self) -> None:
        """Bytes of the body may be missing here; nobody knows whether, or how many."""
        self._parts.gap(None)
        if self._trusted is None:
            self._trusted = self._message.body_bytes

    @property
    def proven(self) -> bool:
        """Does the content coding show that the body is whole?"""
        return self._decoder is not None and self._decoder.proven

    def _decode(self, decoder: ContentDecoder, payload: bytes) -> None:
        message = self._message
        if not message.body_bytes and message.body_wire_bytes <= _PROBATION:
            self._raw.append(payload)
        most = max(self._memory.body, message.body_wire_bytes * _RATIO)
        try:
            for piece in decoder.decode(payload):
                self._raw.clear()
                self._keep(piece)
                if message.body_bytes > most:
                    self._drop_decoder("bomb")
                    return
        except ContentError:
            if not message.body_bytes and message.body_wire_bytes <= _PROBATION:
                self._keep(b"".join(self._raw))
                self._drop_decoder("raw")
            else:
                self._skipped = len(payload)
                self._drop_decoder("spoilt")

    def _drop_decoder(self, mode: Literal["raw", "spoilt", "bomb"]) -> None:
        self._mode = mode
        self._decoder = None
        self._raw.clear()
        self._memory.give_back(self._decoder_memory)
        self._decoder_memory = 0

    def _keep(self, piece: bytes) -> None:
        message = self._message
        self._parts.feed(piece)
        kept, size = len(message.body), len(piece)
        whole = kept == message.body_bytes
        message.body_bytes += size
        if not whole:
            return
        granted = self._memory.take(max(0, min(size, self._memory.body - kept)))
        self.held += granted
        message.body += piece if granted == size else piece[:granted]

    def end(self, part: MissingPart, *, unfinished: bool, whole: bool = True) -> list[Missing]:
        """The body is as complete as it will get: what it lacks, apart from an end that never came.

        :param whole: False if bytes may be missing since `doubt`: what was decoded behind is not trusted.
        """
        message, mode = self._message, self._mode
        self._parts.finish(unfinished=unfinished)
        missing: list[Missing] = []
        if self.lost:
            missing.append(Missing(part, "lost", self.lost))
        decoder = self._decoder
        if decoder is not None:
            if message.body_wire_bytes and not unfinished and not decoder.finished:
                missing.append(Missing(part, "not decodable"))
            self._drop_decoder("spoilt")
        elif mode == "spoilt" or (mode == "raw" and message.body_wire_bytes):
            missing.append(Missing(part, "not decodable", self._skipped if mode == "spoilt" else None))
        if self._trusted is not None and not whole and self._coded:
            doubtful = message.body_bytes - self._trusted
            message.body_bytes = self._trusted
            del message.body[self._trusted :]
            if doubtful:
                missing.append(Missing(part, "not decodable", doubtful))
        cut = message.body_bytes - len(message.body)
        if cut or mode == "bomb":
            missing.append(Missing(part, "over the limit", cut if mode != "bomb" else None))
        return missing
