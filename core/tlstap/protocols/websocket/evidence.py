"""Do frames begin here? Told by what stands there, for a WebSocket whose beginning was not seen.

Evidence is counted in bits, about: each one halves how many other bytes would look like this. Frames have
little of their own that others have not: MQTT's SUBSCRIBE is a valid frame of binary data, zeros are a chain
of empty ones, a small number in a result of MySQL is a message in two fragments. So what counts is how frames
follow one another, that the last one ends where the record does, long lengths, and text.
"""

from __future__ import annotations

import codecs
import re
from itertools import islice

from tlstap.protocols.websocket.frames import FrameReader, Opcode, ParseFailed, Part

NEEDED = 28
"""Bits, where nothing is known of the connection."""
NEEDED_IN_WEBSOCKET = 12
"""Bits, where only the place of the next frame is in question: one that ends with the record has them."""
_FRAMES = 32
# What a frame may begin with: fragments, their ends, what is compressed, control frames.
_FIRST = b"\x00\x01\x02\x41\x42\x80\x81\x82\xc1\xc2\x88\x89\x8a"
# A first byte as frames have it, and the right bit in the second.
_FRAME = 6
_CLOSE_CODE = 4
_CLOSE_CODES = range(1000, 5000)
_TEXT = 16
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SHORT, _LONG = 125, 0xFFFF
_SHORT_FITS, _LONG_FITS = 7, 16
_NOT_SHORT = 7
_HUGE, _LONGEST = 40, 1 << 40


def is_masked(start: bytes | bytearray) -> bool:
    """Is this the beginning of a masked frame?"""
    return start[1:2] >= b"\x80"


def is_websocket(start: bytes, *, masked: bool) -> bool | None:
    """Is this a WebSocket, and does a frame begin at `start`? None: perhaps, more bytes will tell.

    :param start: a record, and those behind it if there are more by now.
    :param masked: whether the frames have to be, as a client's.
    """
    return _frames_begin(start, masked=masked, deflate=True, known=False)


def frames_begin(start: bytes, *, masked: bool, deflate: bool) -> bool | None:
    """Does a frame of what is known to be a WebSocket begin at `start`?

    :param deflate: whether messages may be compressed.
    """
    return _frames_begin(start, masked=masked, deflate=deflate, known=True)


def _frames_begin(start: bytes, *, masked: bool, deflate: bool, known: bool) -> bool | None:
    if start[0] not in _FIRST:
        return False
    reader = FrameReader(masked=masked, deflate=deflate, inside=None if known else False)
    evidence = _Evidence(masked=masked, known=known)
    try:
        parts = list(islice(reader.feed(start), _FRAMES))
    except ParseFailed:
        return False
    for part in parts:
        if not evidence.add(part):
            return False
    rest = reader.rest
    if parts and parts[-1].ends and not rest:
        evidence.fits(parts[-1])
    if rest and reader.remaining is None and rest[0] not in _FIRST:
        return False
    if evidence.bits >= (NEEDED_IN_WEBSOCKET if known else NEEDED):
        return True
    return None if len(parts) < _FRAMES else False


class _Evidence:
    """Weighs the frames of a chain, one after the other. Each is one part; the last may lack its end."""

    def __init__(self, *, masked: bool, known: bool) -> None:
        self.bits = 0
        self._masked, self._known = masked, known
        # The open message, if it is plain text: its decoder, and the bits that it still may bring.
        self._text: codecs.IncrementalDecoder | None = None
        self._text_left = 0

    def add(self, part: Part) -> bool:
        """Weigh a frame; False if none would be like that."""
        if part.opcode is Opcode.CLOSE and not self._close(part.payload):
            return False
        if part.opcode.iscontrol():
            self.bits += _FRAME
            return True
        if part.opcode is not Opcode.CONTINUATION:
            text = part.opcode is Opcode.TEXT and not part.compressed
            self._text = codecs.getincrementaldecoder("utf-8")() if text else None
            self._text_left = _TEXT
        if part.length > _LONG:
            self.bits += _NOT_SHORT + _HUGE
        elif part.length > _SHORT and (part.ends or self._text is not None):
            self.bits += _NOT_SHORT
        readable = self._weigh_text(part)
        if readable and self._counts(part):
            self.bits += _FRAME
        return part.length < _LONGEST and readable is not False

    def fits(self, part: Part) -> None:
        """The chain ends where the record does; `part` is its last frame."""
        if part.length <= _LONG:
            self.bits += _SHORT_FITS if part.length <= _SHORT else _LONG_FITS

    def _counts(self, part: Part) -> bool:
        """Is it worth something that a data frame stands here?"""
        if not part.length and not part.fin:
            return False
        # Others have a byte for the kind and one for the length, too, or letters.
        whole_text = part.fin and (part.opcode is Opcode.TEXT or part.compressed)
        return self._known or self._masked or part.length > _SHORT or whole_text

    def _close(self, payload: bytes) -> bool:
        if payload:
            self.bits += _CLOSE_CODE
        return not payload or int.from_bytes(payload[:2], "big") in _CLOSE_CODES

    def _weigh_text(self, part: Part) -> bool | None:
        """Weigh what a data frame carries. False: it is no text, but should be; None: it is not like text."""
        if self._text is None:
            return True
        try:
            text = self._text.decode(part.payload, part.ends and part.fin)
        except UnicodeDecodeError:
            return False
        # Protocols on top of WebSocket end their messages with NUL or another control character.
        bits = max(0, len(text) - 4 * len(_CONTROL.findall(text, 0, 256)))
        worth = min(self._text_left, bits)
        self._text_left -= worth
        self.bits += worth
        return bool(bits or not text) or None
