"""WebSocket whatever the records' borders, whatever is lost, whatever the bytes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.protocols.websocket_talk import Talk, frame, messages, summaries, summary, switch, undecoded

from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.memory import Pool
from tlstap.protocols.websocket.decoder import WebSocket
from tlstap.records import Direction

# No frame begins with a byte of it, nor with the letters below, masked or not.
KEY = b"\xb0\xb0\xb0\xb0"


@dataclass
class Sent:
    """Frames of one direction, and the messages that they are."""

    frames: list[bytes]
    expected: list[str]


def sent(items: list[tuple[str, int, int, bool]], side: str, *, takeover: bool) -> Sent:
    """Messages of a kind, a size, in a number of fragments, perhaps with a ping between those.

    Their letters are those with which no frame begins.
    """
    key = KEY if side == "write" else None
    result = Sent([], [])
    deflate = zlib.compressobj(wbits=-15)
    for number, (kind, size, fragments, pinged) in enumerate(items):
        content = b"xyzw"[number % 4 : number % 4 + 1] * size
        compressed = kind == "compressed"
        payload = content
        if compressed:
            payload = (deflate.compress(content) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
            if not takeover:
                deflate = zlib.compressobj(wbits=-15)
        if kind == "ping":
            result.frames.append(frame(9, content[:125], key=key))
            result.expected.append(f"{side} ping {content[:125]!r}")
            continue
        step = -(-len(payload) // fragments) or 1
        pieces = [payload[at : at + step] for at in range(0, len(payload), step)] or [b""]
        for place, piece in enumerate(pieces):
            opcode = 0 if place else 1 if kind == "text" else 2
            last = place == len(pieces) - 1
            result.frames.append(frame(opcode, piece, fin=last, key=key, rsv1=compressed and not place))
            if pinged and not last:
                result.frames.append(frame(9, b"x", key=key))
                result.expected.append(f"{side} ping b'x'")
        name = "text" if kind == "text" else "binary"
        result.expected.append(f"{side} {name} {content!r}{' compressed=True' if compressed else ''}")
    return result


def items(*kinds: str) -> st.SearchStrategy[list[tuple[str, int, int, bool]]]:
    sizes = st.one_of(st.integers(0, 20), st.sampled_from([125, 126, 300, 65535, 65536]))
    return st.lists(
        st.tuples(st.sampled_from(kinds), sizes, st.integers(1, 3), st.booleans()), min_size=1, max_size=6
    )


DEFLATED = "permessage-deflate"
ANY = items("text", "binary", "compressed", "ping")


@settings(deadline=None)
@given(ANY, ANY, st.lists(st.integers(1, 3000), min_size=1, max_size=6), st.booleans())
def test_borders_of_records_do_not_matter(
    client: list[tuple[str, int, int, bool]],
    server: list[tuple[str, int, int, bool]],
    sizes: list[int],
    takeover: bool,
) -> None:
    extension = (
        DEFLATED if takeover else f"{DEFLATED}; client_no_context_takeover; server_no_context_takeover"
    )
    up, down = sent(client, "write", takeover=takeover), sent(server, "read", takeover=takeover)
    talk = Talk(switch(extension))
    talk.split("write", b"".join(up.frames), sizes).split("read", b"".join(down.frames), sizes)
    out = talk.run()
    assert summaries(out) == up.expected + down.expected
    assert undecoded(out, "read") == undecoded(out, "write") == []
    whole = Talk(switch(extension)).client(b"".join(up.frames)).server(b"".join(down.frames)).run()
    assert summaries(whole) == up.expected + down.expected


BYTES = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.one_of(
            st.binary(max_size=6),
            st.builds(
                lambda opcode, payload, fin, rsv1, masked: frame(
                    opcode, payload, fin=fin, rsv1=rsv1, key=b"\x01\x02\x03\x04" if masked else None
                ),
                st.sampled_from([0, 1, 2, 8, 9, 10, 3]),
                st.binary(max_size=130),
                st.booleans(),
                st.booleans(),
                st.booleans(),
            ),
        ),
        max_size=4,
    ).map(b"".join),
)
RECORDS = st.lists(st.tuples(st.sampled_from(["read", "write"]), st.integers(0, 9), BYTES), max_size=12)


@settings(deadline=None, max_examples=300)
@given(
    RECORDS, st.booleans(), st.sampled_from([None, DEFLATED, "x"]), st.sampled_from([0, 50, 60_000, 1 << 20])
)
def test_arbitrary_bytes_do_no_harm(
    records: list[tuple[Direction, int, bytes]], known: bool, extensions: str | None, memory: int
) -> None:
    """Nothing raises, memory comes back, and what is not decoded is told once, from where it was."""
    talk = Talk(switch(extensions) if known else None)
    stream: dict[Direction, list[int | None]] = {"read": [], "write": []}
    for direction, lost, payload in records:
        stream[direction] += [None] * lost
        stream[direction] += payload
        if lost:
            talk.lose(direction, lost)
        talk.move(direction, payload)
    out = talk.run(pool=Pool(total=memory), protocols=[Http1(), WebSocket()])
    for direction, content in stream.items():
        end = 0
        for offset, payload, lost_before in undecoded(out, direction):
            begin = offset - lost_before
            assert begin >= end
            end = offset + len(payload)
            assert content[begin:end] == [None] * lost_before + list(payload)


@settings(deadline=None)
@given(
    items("text", "binary", "ping"),
    st.sampled_from(["read", "write"]),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 400)), min_size=1, max_size=3),
    st.integers(1, 5000),
)
def test_gaps_lose_only_what_they_touch(
    chosen: list[tuple[str, int, int, bool]],
    side: Direction,
    gaps: list[tuple[int, int]],
    limit: int,
) -> None:
    """Each frame is in a record of its own, or in more; parts of those are lost."""
    # Nor with a byte of these lengths.
    chosen = [
        (kind, (3, 4, 7, 20, 100, 125, 0x303, 0xFFFF)[size % 8], 1, False) for kind, size, _, _ in chosen
    ]
    data = sent([*chosen, ("text", 7, 1, False)], side, takeover=True)
    total = sum(map(len, data.frames))
    lost = set[int]()
    for at, size in gaps:
        lost.update(range(at % total, min(at % total + size, total - len(data.frames[-1]))))
    talk, start, intact = Talk(switch()), 0, []
    for item, line in zip(data.frames, data.expected, strict=True):
        if not lost.intersection(range(start, start + len(item))):
            intact.append(line)
        # A frame that came in hundreds of records is not found behind a gap.
        step = max(limit, len(item) // 100)
        for at in range(0, len(item), step):
            piece = bytearray()
            for place in range(at, min(at + step, len(item))):
                if start + place in lost:
                    if piece:
                        talk.move(side, bytes(piece))
                        piece.clear()
                    talk.lose(side, 1)
                else:
                    piece.append(item[place])
            if piece:
                talk.move(side, bytes(piece))
        start += len(item)
    found = messages(talk.run())
    assert [summary(message) for message in found if not message.missing] == intact


@settings(deadline=None)
@given(items("compressed"), st.integers(0, 5), st.booleans())
def test_compressed_messages_behind_a_gap_are_right_or_raw(
    chosen: list[tuple[str, int, int, bool]], gone: int, takeover: bool
) -> None:
    """One frame is lost. The messages that are inflated are none but those that were sent."""
    extension = DEFLATED if takeover else f"{DEFLATED}; server_no_context_takeover"
    chosen = [(kind, size, 1, False) for kind, size, _, _ in chosen]
    data = sent(chosen, "read", takeover=takeover)
    gone %= len(data.frames)
    talk = Talk(switch(extension))
    for number, item in enumerate(data.frames):
        if number == gone:
            talk.lose("read", len(item))
        else:
            talk.server(item)
    expected = [
        (line, item)
        for number, (line, item) in enumerate(zip(data.expected, data.frames, strict=True))
        if number != gone
    ]
    found = messages(talk.run())
    for message, (line, item) in zip(found, expected, strict=True):
        if message.missing:
            assert takeover
            assert item.endswith(message.payload)
            assert summary(message).endswith("[not decodable]")
        else:
            assert summary(message) == line
    assert all(not message.missing for message in found[:gone])
