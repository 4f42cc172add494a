"""Header blocks of other people's encoders, as conversations: all right, and never wrong after a loss."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame, SettingsFrame
from tests.support.http2_cases import ENCODERS, Story, stories
from tests.unit.protocols.conversation import Conversation, exchanges, undecoded
from tests.unit.protocols.hpack_origins import Field, origins

from tlstap.pipeline import Pipeline
from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.http2.decoder import Http2
from tlstap.protocols.http2.frames import PREFACE
from tlstap.records import Direction, Exchange, Message

GET = bytes.fromhex("828784010168")  # GET https /, :authority h, without the dynamic table
OK = b"\x88"
PSEUDO = {":method": "method", ":scheme": "scheme", ":authority": "authority", ":path": "target"}


def is_request(story: Story) -> bool:
    """Are its blocks the heads of requests?"""
    return any(name == ":method" for name, _ in story.blocks[0].headers)


def head(stream_id: int, block: bytes, number: int) -> bytes:
    """Frames of a header block; with padding, a priority and continuations now and then."""
    size = max(1, -(-len(block) // (1 + number % 3)))
    pieces = [block[at : at + size] for at in range(0, len(block), size)]
    first = HeadersFrame(stream_id, pieces[0], flags=["END_STREAM"])
    if number % 4 == 1:
        first.flags.add("PADDED")
        first.pad_length = number % 256
    if number % 5 == 2:
        first.flags.add("PRIORITY")
        first.stream_weight = number % 256
    frames: list[Frame] = [first, *(ContinuationFrame(stream_id, piece) for piece in pieces[1:])]
    frames[-1].flags.add("END_HEADERS")
    return b"".join(frame.serialize() for frame in frames)


def stream_of(number: int) -> int:
    """The stream of a block."""
    return 2 * number + 1


def told(story: Story, unseen: range) -> Conversation:
    """The connection that a story is, traced in its client, without the blocks of `unseen`.

    These are older than the trace if they are the first ones, else lost.
    """
    older = unseen.start == 0 and len(unseen) > 0
    talk = Conversation(from_start=not older)
    if not older:
        talk.write(PREFACE + SettingsFrame().serialize()).read(SettingsFrame().serialize())
    ours: Direction = "write" if is_request(story) else "read"
    theirs: Direction = "read" if is_request(story) else "write"
    for number, block in enumerate(story.blocks):
        stream_id = stream_of(number)
        plain = head(stream_id, OK if is_request(story) else GET, 0)
        parts = [(theirs, plain), (ours, head(stream_id, block.wire, number))]
        if block.table_size is not None:
            allowed = SettingsFrame(settings={SettingsFrame.HEADER_TABLE_SIZE: block.table_size})
            parts.insert(0, (theirs, allowed.serialize()))
        for direction, frames in sorted(parts, key=lambda part: part[0], reverse=True):
            if number not in unseen:
                talk.move(direction, frames)
            elif not older:
                talk.lose(direction, len(frames))
    return talk


def by_block(talk: Conversation) -> dict[int, Exchange]:
    """What is made of it, by the number of the block; nothing is left over."""
    problems: list[str] = []
    out = talk.run(Pipeline([Http1(), Http2()], on_problem=problems.append))
    assert problems == []
    assert undecoded(out, "read") == undecoded(out, "write") == b""
    return {(exchange.stream_id or 0) // 2: exchange for exchange in exchanges(out)}


def message_of(story: Story, exchange: Exchange) -> Message:
    message = exchange.request if is_request(story) else exchange.response
    assert message is not None
    return message


def in_order(message: Message) -> Iterator[tuple[str | None, str | None]]:
    """Known and unknown headers, as they were sent."""
    unknown = list(message.unknown_headers)
    for position, header in enumerate([*message.headers, None]):
        while unknown and unknown[0].position == position:
            each = unknown.pop(0)
            yield each.name, each.value
        if header is not None:
            yield header
    assert unknown == []


def check(message: Message, fields: list[Field], seen_from: int, name: str) -> None:
    """All is right, and known if those can know it who saw this block and all from `seen_from` on."""
    seen = [field.seen_from(seen_from) for field in fields]
    regular = [(name, value) for name, value in seen if name is None or not name.startswith(":")]
    assert list(in_order(message)) == regular, name
    pseudo = {name: value for name, value in seen if name is not None and name.startswith(":")}
    absent = None if any(name is None for name, _ in seen) else ""
    if message.is_request:
        for header, attribute in PSEUDO.items():
            expected = pseudo.get(header, absent)
            if header == ":authority" and expected == "":
                expected = next((value for name, value in message.headers if name == "host"), "")
            assert getattr(message, attribute) == expected, (name, header)
    else:
        status = pseudo.get(":status")
        assert message.status == (None if status is None else int(status)), name


def uses_table(encoder: str) -> bool:
    """Does this encoder refer to the dynamic table? What does not loses nothing with its beginning."""
    return not encoder.startswith(("go-hpack", "haskell-http2-naive", "haskell-http2-static"))


def losses(story: Story) -> list[range]:
    """Beginnings and middles that nobody saw."""
    blocks = len(story.blocks)
    middle = range(blocks // 3, blocks // 3 + max(1, blocks // 4))
    return [range(blocks // 2), middle] if uses_table(story.name) else [middle]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_all_headers_of_a_story(encoder: str) -> None:
    for story in stories(encoder):
        found = by_block(told(story, range(0)))
        assert sorted(found) == list(range(len(story.blocks))), story.name
        for number, fields in enumerate(origins(story)):
            exchange = found[number]
            assert exchange.missing == [], story.name
            check(message_of(story, exchange), fields, 0, story.name)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_headers_after_a_loss(encoder: str) -> None:
    """What the lost blocks put into the table is unknown, all else is known, and nothing is wrong."""
    incomplete = 0
    for story in stories(encoder):
        expected = origins(story)
        for unseen in losses(story):
            found = by_block(told(story, unseen))
            for number in range(unseen.stop, len(story.blocks)):
                exchange = found[number]
                message = message_of(story, exchange)
                check(message, expected[number], unseen.stop, f"{story.name} without {unseen}")
                unknown = any(None in field.seen_from(unseen.stop) for field in expected[number])
                assert bool(exchange.missing) == unknown, (story.name, exchange.missing)
                incomplete += unknown
    assert (incomplete > 0) == uses_table(encoder)
