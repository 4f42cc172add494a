"""Frames of one direction, read by wsproto, part by part and through gaps.

Its FrameDecoder is used, not its FrameProtocol: that refuses text which is not UTF-8 and close codes which
nobody assigned, though real programs send both, and it ends for good when it refuses something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, ParseFailed, RsvBits

__all__ = ["FrameReader", "Opcode", "ParseFailed", "Part"]


@dataclass(slots=True)
class Part:
    """A part of a frame; control frames come whole.

    `length` is that of the frame's payload. `begins` and `ends` say where in the frame the part is; `fin`
    that the frame is its message's last. `lost` bytes were not captured; in a control frame the first of
    them would stand at `hole`.
    """

    opcode: Opcode
    compressed: bool
    length: int
    payload: bytes
    begins: bool
    ends: bool
    fin: bool
    lost: int = 0
    hole: int | None = None


class _Rules(Extension):
    """As an extension of wsproto's it sees each header, and refuses what may not stand there.

    :param deflate: may messages be compressed?
    :param inside: is a message open, which a frame has to continue? None if that is not known.
    """

    name = "tlstap"

    def __init__(self, *, deflate: bool, inside: bool | None) -> None:
        self._deflate = deflate
        self.inside = inside
        self.opcode = Opcode.CONTINUATION
        self.compressed = False
        self.length = 0

    def offer(self) -> bool | str:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        continues = opcode is Opcode.CONTINUATION
        if not opcode.iscontrol() and self.inside is not None and continues != self.inside:
            return CloseReason.PROTOCOL_ERROR
        self.opcode, self.compressed, self.length = opcode, rsv.rsv1, payload_length
        return RsvBits(self._deflate and opcode in (Opcode.TEXT, Opcode.BINARY), False, False)


class FrameReader:
    """Reads frames from where one begins.

    :param masked: whether they have to be, as a client's.
    :param deflate: whether messages may be compressed.
    :param inside: whether a message is open here; None if that is not known.
    """

    def __init__(self, *, masked: bool, deflate: bool, inside: bool | None) -> None:
        self._rules = _Rules(deflate=deflate, inside=inside)
        self._decoder = FrameDecoder(not masked, [self._rules])
        self._begun = False
        self._holes: list[tuple[int, int]] = []

    @property
    def rest(self) -> bytes:
        """Bytes that were fed and not read: those that wait for more of a header or of a control frame's
        payload; behind ParseFailed all from the refused frame on."""
        return bytes(self._decoder.buffer.buffer)

    @property
    def remaining(self) -> int | None:
        """Payload of the current frame that is still to come; None outside of a payload."""
        header = self._decoder.header
        if header is None:
            return None
        return header.payload_len - self._decoder.payload_consumed - len(self._decoder.buffer)

    @property
    def last(self) -> bool:
        """Is the current frame its message's last?"""
        return self._decoder.header is not None and self._decoder.header.fin

    def feed(self, data: bytes) -> Iterator[Part]:
        """The parts that are in the next bytes. Raises ParseFailed at a frame that is not valid."""
        self._decoder.receive_bytes(data)
        return self._parts()

    def skip(self, size: int) -> Iterator[Part]:
        """Go on behind `size` bytes of the current payload, at least 1 and at most `remaining`."""
        decoder = self._decoder
        if self._rules.opcode.iscontrol():
            self._holes.append((len(decoder.buffer), size))
            decoder.receive_bytes(bytes(size))
            yield from self._parts()
            return
        # All but one are counted as read; the last one is fed, so that wsproto ends the frame if it has to.
        decoder.payload_consumed += size - 1
        assert decoder.masker is not None
        decoder.masker.process(bytearray((size - 1) % 4))
        decoder.receive_bytes(b"\0")
        for part in self._parts():
            part.payload, part.lost = b"", size
            yield part

    def unfinished_control(self) -> Part | None:
        """The control frame whose end has not come, as if the rest were lost; None if there is none."""
        remaining = self.remaining
        if remaining is None or not self._rules.opcode.iscontrol():
            return None
        return next(self.skip(remaining))

    def _parts(self) -> Iterator[Part]:
        decoder, rules = self._decoder, self._rules
        while True:
            frame = decoder.process_buffer()
            if frame is None:
                header = decoder.header
                if header is not None and not self._begun and not header.opcode.iscontrol():
                    self._begun = True
                    yield Part(header.opcode, rules.compressed, rules.length, b"", True, False, header.fin)
                return
            payload = frame.payload
            assert isinstance(payload, bytes)
            begins, self._begun = not self._begun, not frame.frame_finished
            ends, fin = frame.frame_finished, frame.message_finished
            part = Part(rules.opcode, rules.compressed, rules.length, payload, begins, ends, fin)
            if rules.opcode.iscontrol():
                self._cut_holes(part)
            elif ends:
                rules.inside = not fin
            yield part

    def _cut_holes(self, part: Part) -> None:
        """Take out of a control frame what was filled in for lost bytes."""
        for at, size in reversed(self._holes):
            part.payload = part.payload[:at] + part.payload[at + size :]
            part.lost += size
            part.hole = at
        self._holes.clear()
