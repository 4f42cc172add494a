"""WebSocket when bytes are lost: what is marked, what is found again, what stays right."""

from __future__ import annotations

import zlib

import pytest
from tests.unit.protocols.websocket_talk import KEY, Talk, frame, messages, summaries, switch, undecoded

from tlstap.protocols.memory import Pool
from tlstap.protocols.websocket.half import MAX_RECORDS
from tlstap.records import Direction, Missing


def test_a_gap_inside_a_frame_whoever_sends_it() -> None:
    for key in (None, KEY):
        sent = frame(1, b"0123456789abcdef", key=key)
        head = len(sent) - 16
        for at in range(head, len(sent)):
            for size in range(1, len(sent) - at + 1):
                talk = Talk(switch())
                side: Direction = "read" if key is None else "write"
                talk.move(side, sent[:at]).lose(side, size)
                talk.move(side, sent[at + size :] + frame(2, b"next", key=key))
                left = (b"0123456789abcdef"[: at - head] + b"0123456789abcdef"[at - head + size :]).decode()
                assert summaries(talk.run()) == [
                    f"{side} text {left.encode()!r} of 16 [lost {size}]",
                    f"{side} binary b'next'",
                ]


def test_a_gap_is_known_before_what_is_behind_it() -> None:
    talk = Talk(switch()).server(frame(1, b"abcdef")[:4]).lose("read", 3).told("read")
    talk.lose("read", 1).told("read")
    one, two = messages(talk.server(frame(1, b"x")).run())
    assert (one.payload, one.size, one.missing) == (b"ab", 6, [Missing("message", "lost", 4)])
    assert (one.time_ns, two.time_ns) == (3, 4)
    assert two.missing == []


def test_a_gap_in_a_fragment_and_another_one_in_the_next() -> None:
    talk = Talk(switch()).server(frame(1, b"abcdef", fin=False)[:5]).lose("read", 2)
    talk.server(b"f" + frame(9, b"ping")[:4]).lose("read", 1).server(b"g" + frame(0, b"ghi")[:2])
    talk.lose("read", 3).server(frame(2, b"next"))
    assert summaries(talk.run()) == [
        "read ping b'pig' of 4 [lost 1]",
        "read text b'abcf' of 9 [lost 5]",
        "read binary b'next'",
    ]


@pytest.mark.parametrize(
    ("at", "size", "expected"),
    [
        (2, 2, "read close b'bye' of 3 code=None reason='' [lost 2]"),
        (3, 2, "read close b'\\x03ye' of 5 code=None reason='' [lost 2]"),
        (4, 1, "read close b'ye' of 3 code=1000 reason='ye' [lost 1]"),
        (4, 3, "read close b'' of 3 code=1000 reason='' [lost 3]"),
    ],
)
def test_a_gap_in_a_close_frame(at: int, size: int, expected: str) -> None:
    sent = frame(8, b"\x03\xe8bye")
    out = Talk(switch()).server(sent[:at]).lose("read", size).server(sent[at + size :]).run()
    if at == 2:
        # Nothing shows where the reason begins.
        expected = "read close b'bye' of 5 code=None reason='' [lost 2]"
    assert summaries(out) == [expected]


def test_two_gaps_in_a_control_frame() -> None:
    sent = frame(9, b"0123456789", key=KEY)
    talk = Talk(switch()).client(sent[:8]).lose("write", 2).client(sent[10:12]).lose("write", 3)
    assert summaries(talk.client(sent[15:]).run()) == ["write ping b'01459' of 10 [lost 5]"]


def test_a_gap_beyond_the_frame() -> None:
    talk = Talk(switch()).server(frame(1, b"abcdef")[:4]).lose("read", 20).server(frame(1, b"next"))
    assert summaries(talk.run()) == ["read text b'ab' of 6 [lost 4]", "read text b'next'"]


def test_a_gap_beyond_a_fragment() -> None:
    talk = Talk(switch()).server(frame(1, b"abcdef", fin=False)[:4]).lose("read", 20)
    talk.server(frame(0, b"rest")).server(frame(1, b"next"))
    assert summaries(talk.run()) == [
        "read text b'ab' of 6 [lost]",
        "read continuation b'rest' [lost]",
        "read text b'next'",
    ]


def test_a_gap_between_two_frames() -> None:
    talk = Talk(switch()).server(frame(1, b"a")).lose("read", 20).server(frame(2, b"b")).lose("read", 1)
    talk.server(frame(9)).client(frame(1, b"c", key=KEY))
    out = talk.run()
    assert summaries(out) == ["read text b'a'", "read binary b'b'", "read ping b''", "write text b'c'"]
    assert undecoded(out, "read") == []


def test_a_gap_at_the_very_beginning() -> None:
    talk = Talk(switch()).lose("read", 9).server(frame(2, b"b")).lose("write", 1)
    assert summaries(talk.client(frame(1, b"c", key=KEY)).run()) == ["read binary b'b'", "write text b'c'"]


def test_a_gap_behind_a_part_of_a_header() -> None:
    sent = frame(0, bytes(300), key=KEY)
    for cut in range(1, 8):
        talk = Talk(switch()).client(frame(1, b"open", key=KEY, fin=False)).client(sent[:cut])
        out = talk.lose("write", 3).client(b"\xff" * 5).client(frame(1, b"next", key=KEY)).run()
        assert summaries(out) == ["write text b'open' [lost]", "write text b'next'"]
        assert undecoded(out, "write") == [(10, sent[:cut], 0), (13 + cut, b"\xff" * 5, 3)]


def test_bytes_behind_a_gap_that_are_no_frame() -> None:
    talk = Talk(switch()).server(frame(1, b"a")).lose("read", 5).server(b"zzz").server(b"y")
    talk.lose("read", 2).told("read").lose("read", 3).server(b"x" + frame(1, b"hidden"))
    out = talk.server(frame(1, b"found")).run()
    assert summaries(out) == ["read text b'a'", "read text b'found'"]
    assert undecoded(out, "read") == [
        (8, b"zzz", 5),
        (11, b"y", 0),
        (17, b"x" + frame(1, b"hidden"), 5),
    ]


def test_a_frame_behind_a_gap_that_comes_byte_by_byte() -> None:
    sent = frame(2, bytes(range(100)), key=KEY)
    talk = Talk(switch()).lose("write", 1).split("write", sent, [1])
    (message,) = messages(talk.run())
    assert message.payload == bytes(range(100))
    assert message.time_ns == len(sent)


def test_a_large_frame_behind_a_gap() -> None:
    """Its length has 16 bits, so it is believed when it ends with a record, or if it is text."""
    for opcode, content in ((2, bytes(range(250)) * 260), (1, b"text" * 16000)):
        talk = Talk(switch()).lose("read", 1).split("read", frame(opcode, content), [16384])
        out = talk.server(frame(1, b"next")).run()
        assert [message.payload for message in messages(out)] == [content, b"next"]
        assert undecoded(out, "read") == []


def test_a_record_that_only_might_begin_with_a_frame_does_not_hide_one() -> None:
    """The end of a lost frame looks like the beginning of a large one."""
    talk = Talk(switch()).lose("read", 10).server(b"\x82\x7e\x80\x00").server(frame(2, b"12345"))
    out = talk.server(frame(2, b"678")).run()
    assert [message.payload for message in messages(out)] == [b"12345", b"678"]
    assert [message.time_ns for message in messages(out)] == [2, 3]
    assert undecoded(out, "read") == [(10, b"\x82\x7e\x80\x00", 10)]


def test_what_is_held_in_doubt_is_looked_at_again_in_the_end() -> None:
    talk = Talk(switch()).lose("read", 10).server(b"\x82\x7e\x80\x00")
    talk.server(frame(2, b"12345")[:3]).server(frame(2, b"12345")[3:] + frame(1, b"no end")[:4])
    out = talk.run()
    assert summaries(out) == ["read binary b'12345'", "read text b'no' [unfinished 4]"]
    assert [message.time_ns for message in messages(out)] == [3, 4]
    assert undecoded(out, "read") == [(10, b"\x82\x7e\x80\x00", 10)]


def test_what_is_held_in_doubt_is_clear_when_the_frame_would_end() -> None:
    start = b"\x82\x7e\xff\xff" + b"\xff" * 65530
    talk = Talk(switch()).lose("read", 10).split("read", start, [16384]).server(b"\xff" * 5)
    talk.client(frame(9, key=KEY)).server(b"\xff\xff")
    assert summaries(talk.run()) == [f"read binary {start[4:] + bytes([255]) * 5!r}", "write ping b''"]
    talk = Talk(switch()).lose("read", 10).split("read", start, [16384]).server(b"\xff" * 7)
    out = talk.client(frame(9, key=KEY)).run()
    assert b"".join(payload for _, payload, _ in undecoded(out, "read")) == start + b"\xff" * 7
    # It was let go before the ping, not in the end.
    assert summaries(out[-1:]) == ["write ping b''"]


def test_not_too_many_records_are_held_in_doubt() -> None:
    talk = Talk(switch()).lose("read", 10).server(b"\x82\x7e\xff\xff")
    talk.split("read", b"\xff" * MAX_RECORDS, [1]).client(frame(9, key=KEY))
    assert summaries(talk.run()[-1:]) == ["write ping b''"]


def test_nothing_is_held_in_doubt_if_no_memory_is_left() -> None:
    talk = Talk(switch()).lose("read", 10).server(b"\x82\x7e\xff\xff").server(b"\xff" * 10)
    talk.server(frame(1, b"text"))
    out = talk.run(pool=Pool(total=10))
    assert undecoded(out, "read") == [(10, b"\x82\x7e\xff\xff", 10), (14, b"\xff" * 10, 0)]
    assert summaries(out) == ["read text b'text'"]


def test_the_history_of_compressed_messages_is_lost_with_a_gap() -> None:
    deflate = zlib.compressobj(wbits=-15)

    def sent(payload: bytes) -> bytes:
        data = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return frame(1, data[:-4], rsv1=True)

    parts = [sent(b"the first words"), sent(b"the second words"), sent(b"the first words"), sent(b"ABC")]
    talk = Talk(switch("permessage-deflate")).server(parts[0]).lose("read", len(parts[1]))
    for part in parts[2:]:
        talk.server(part)
    assert summaries(talk.run()) == [
        "read text b'the first words' compressed=True",
        f"read text {parts[2][2:]!r} compressed=True [not decodable]",
        "read text b'ABC' compressed=True",
    ]


def test_a_gap_inside_a_compressed_message() -> None:
    """What was inflated before it stays; bytes behind it are counted."""
    deflate = zlib.compressobj(wbits=-15)
    content = bytes(range(256)) * 4 + b"some words at the end"
    data = (deflate.compress(content) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    sent = frame(2, data, rsv1=True)
    talk = Talk(switch("permessage-deflate")).server(sent[:200]).lose("read", 10).server(sent[210:])
    one, two = messages(talk.server(frame(1, b"plain")).run())
    assert content.startswith(one.payload) and len(one.payload) > 100
    assert one.size == len(one.payload)
    assert one.details == {"compressed": True}
    assert one.missing == [
        Missing("message", "lost", 10),
        Missing("message", "not decodable", len(sent) - 210),
    ]
    assert (two.payload, two.missing) == (b"plain", [])


def test_a_gap_at_the_beginning_of_a_compressed_message() -> None:
    sent = frame(1, b"0123456789", rsv1=True)
    talk = Talk(switch("permessage-deflate")).server(sent[:2]).lose("read", 3).server(sent[5:])
    assert summaries(talk.run()) == ["read text b'3456789' of 10 compressed=True [lost 3; not decodable]"]


def test_a_huge_gap_costs_nothing() -> None:
    head = b"\x82\x7f" + (1 << 50).to_bytes(8, "big")
    talk = Talk(switch()).server(head + b"a").lose("read", (1 << 50) - 2).server(b"z" + frame(1, b"next"))
    one, two = messages(talk.run())
    assert (one.payload, one.size, one.missing) == (
        b"az",
        1 << 50,
        [Missing("message", "lost", (1 << 50) - 2)],
    )
    assert two.payload == b"next"


def test_a_gap_behind_the_closing() -> None:
    talk = Talk(switch()).server(frame(8)).client(frame(8, key=KEY)).server(b"a").lose("read", 3)
    out = talk.told("read").server(b"b").run()
    assert undecoded(out, "read") == [(2, b"a", 0), (6, b"b", 3)]
