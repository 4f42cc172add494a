"""The pipeline: recognition, hand-overs, eviction, failing plugins, bounds."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.unit.protocols.conversation import (
    PROCESS,
    Conversation,
    ended,
    exchanges,
    run,
    summaries,
    undecoded,
)

from tlstap.pipeline import Limits, Pipeline
from tlstap.protocols.base import Channel, Decoder, Protocol, StreamBytes
from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.memory import Allowance
from tlstap.protocols.recognition import MAX_HELD, MAX_TRIES
from tlstap.records import (
    Closed,
    Data,
    DecodedRecord,
    Direction,
    ExchangeEnded,
    Handshake,
    Lost,
    Opened,
    TraceRecord,
    Undecoded,
)

GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


class Toy(Protocol):
    """Speaks "TOY": fails at the word "fail", hands over at "bye" (kept: what comes behind)."""

    name = "toy"

    def __init__(self, *, fail_in: str = "") -> None:
        self.fail_in = fail_in
        self.asked = 0

    def recognise(self, channel: Channel, direction: Direction, start: bytes) -> bool | None:
        self.asked += 1
        if self.fail_in == "recognise":
            raise RuntimeError("toy broke")
        if len(start) < 3:
            return None if b"TOY".startswith(start) else False
        return start.startswith(b"TOY")

    def decoder(self, channel: Channel, memory: Allowance) -> Decoder:
        if self.fail_in == "decoder":
            raise RuntimeError("toy broke")
        return ToyDecoder(channel, memory)


class ToyDecoder(Decoder):
    def __init__(self, channel: Channel, memory: Allowance) -> None:
        self.connection = channel.connection
        memory.take(100)

    def feed(self, data: StreamBytes) -> Iterable[DecodedRecord]:
        if b"fail" in data.payload:
            raise RuntimeError("toy broke")
        if b"bye" in data.payload:
            self.handed_over = True
            at = data.payload.index(b"bye") + 3
            yield Undecoded(
                self.connection, PROCESS, data.time_ns, data.direction, data.offset + at, data.payload[at:]
            )

    def finish(self, time_ns: int, *, closed: bool) -> Iterable[DecodedRecord]:
        return ()


def test_what_nobody_knows_is_shown_with_its_gaps() -> None:
    talk = Conversation().write(b"\x00\x01").lose("write", 7).write(b"\x02").read(b"\xff").close()
    shown = [record for record in talk.run() if isinstance(record, Undecoded)]
    assert [(r.direction, r.offset, r.payload, r.lost_before, r.time_ns) for r in shown] == [
        ("write", 0, b"\x00\x01", 0, 1),
        ("write", 9, b"\x02", 7, 2),
        ("read", 0, b"\xff", 0, 3),
    ]


def test_gap_from_an_uncaptured_tail_is_shown_at_the_next_bytes() -> None:
    talk = Conversation().move("write", b"\x00", cut=5).write(b"\x01")
    shown = [(r.offset, r.lost_before) for r in talk.run() if isinstance(r, Undecoded)]
    assert shown == [(0, 0), (6, 5)]


def test_bytes_wait_until_a_protocol_can_tell() -> None:
    talk = Conversation()
    for byte in GET % 1:
        talk.write(bytes([byte]))
    out = talk.read(OK % (1, b"x")).run()
    assert summaries(out) == ["GET /1 b'' -> 200 b'x'"] and undecoded(out, "write") == b""


def test_bytes_that_wait_in_vain_are_shown() -> None:
    assert undecoded(Conversation().write(b"GE").run(), "write") == b"GE"
    assert undecoded(Conversation().write(b"GE").write(b"\x00").close().run(), "write") == b"GE\x00"
    endless = b"GET /" + b"a" * MAX_HELD
    out = run(Conversation().write(endless).records)
    assert undecoded(out, "write") == endless


def test_recognised_at_a_later_turn() -> None:
    """A connection found in the middle of a long download."""
    talk = Conversation(from_start=False)
    for _ in range(50):
        talk.read(b"\x00bulk")
    talk.write(GET % 1).read(OK % (3, b"one"))
    assert summaries(talk.run()) == ["GET /1 b'' -> 200 b'one'"]


def test_unknown_bulk_data_are_not_asked_about_for_ever() -> None:
    toy = Toy()
    talk = Conversation()
    for _ in range(100):
        talk.read(b"\x00bulk")
    run(talk.records, protocols=[toy])
    assert toy.asked == MAX_TRIES
    run([*talk.lose("read", 1).read(b"x").records], protocols=[toy])
    assert toy.asked == 2 * MAX_TRIES + 1


def test_first_protocol_that_knows_wins() -> None:
    talk = Conversation().write(b"TO").write(b"Y fail")
    problems: list[str] = []
    talk.run(Pipeline([Http1(), Toy()], on_problem=problems.append))
    assert len(problems) == 1 and "'toy'" in problems[0]


def test_bytes_handed_over_are_recognised_again() -> None:
    talk = Conversation().write(b"TOY bye" + GET % 1).read(OK % (3, b"one")).close()
    out = run(talk.records, protocols=[Toy(), Http1()])
    assert summaries(out) == ["GET /1 b'' -> 200 b'one'"]
    assert undecoded(out, "write") == b"" and exchanges(out)[0].request is not None


def test_endless_handovers_end() -> None:
    talk = Conversation().write(b"TOY bye" * 100)
    out = run(talk.records, protocols=[Toy()])
    assert undecoded(out, "write") == b"TOY bye" * 92


def test_events_of_a_connection_come_before_its_close() -> None:
    talk = Conversation().write(GET % 1).close()
    kinds = [type(record) for record in talk.run()]
    assert kinds[-2:] == [ExchangeEnded, Closed]


def test_end_of_the_trace_is_no_close() -> None:
    """A body that ends with the connection is complete only if that ended."""
    talk = Conversation().write(GET % 1).read(b"HTTP/1.1 200 OK\r\n\r\nabc")
    assert not ended(talk.run())[0].complete
    assert ended(talk.close().run())[0].complete


def test_lost_end_of_a_connection_is_known_from_its_totals() -> None:
    talk = Conversation().write(GET % 1).read((OK % (6, b"abcdef"))[:-4]).lose("read", 4).close()
    assert summaries(talk.run()) == ["GET /1 b'' -> 200 b'ab' [response body lost 4]"]


def test_other_records_pass() -> None:
    talk = Conversation()
    others: list[TraceRecord] = [
        Handshake(talk.connection, PROCESS, 1, 2, True),
        Lost(None, None, 3, 4, 5, "ring full"),
        Closed(talk.connection, PROCESS, 6, 0, 0, 0, 0),
        Closed(talk.connection, PROCESS, 7, 0, 0, 0, 0),
    ]
    assert run([*talk.records, *others]) == [*talk.records, *others]


def test_connections_are_apart() -> None:
    first, second = Conversation(number=1), Conversation(number=2)
    first.write(GET % 1)
    second.write(GET % 2)
    second.read(OK % (3, b"two"))
    first.read(OK % (3, b"one"))
    records = [*first.records[:2], *second.records, *first.records[2:]]
    assert summaries(run(records)) == ["GET /2 b'' -> 200 b'two'", "GET /1 b'' -> 200 b'one'"]


def test_most_silent_connection_is_evicted_and_reported() -> None:
    talks = [Conversation(number=number).write(GET % number) for number in (1, 2, 3)]
    talks[0].read((OK % (3, b"one"))[:-1])
    records = [*talks[0].records[:2], *talks[1].records, talks[0].records[2], *talks[2].records]
    problems: list[str] = []
    pipeline = Pipeline([Http1()], limits=Limits(connections=2), on_problem=problems.append)
    out = [item for record in records for item in pipeline.feed(record)]
    assert summaries(out) == ["GET /2 b'' -> - [response not seen]"]
    assert not any(isinstance(record, Lost) for record in out)  # a replay would double it
    [problem] = problems
    assert "more than 2 connections" in problem


def test_evicted_connection_goes_on_at_its_next_message() -> None:
    first, second = Conversation(number=1).write(GET % 1), Conversation(number=2).write(GET % 2)
    begun = len(first.records)
    first.write(GET % 3).read(OK % (5, b"three"))
    records = [*first.records[:begun], *second.records, *first.records[begun:]]
    out = run(records, limits=Limits(connections=1))
    assert "GET /3 b'' -> 200 b'three'" in summaries(out)


@pytest.mark.parametrize("fail_in", ["recognise", "decoder", "feed"])
def test_failing_plugin_loses_only_its_own_connections(fail_in: str) -> None:
    problems: list[str] = []
    pipeline = Pipeline([Toy(fail_in=fail_in), Http1()], on_problem=problems.append)
    bad = [Conversation(number=n).write(b"TOY fail").write(b"more") for n in (1, 2)]
    good = Conversation(number=3).write(GET % 1).read(OK % (2, b"ok"))
    out = run([*bad[0].records, *bad[1].records, *good.records], pipeline)
    assert undecoded(out, "write") == b"TOY failmore" * 2
    assert summaries(out) == ["GET /1 b'' -> 200 b'ok'"]
    assert len(problems) == 1
    assert "'toy' failed (RuntimeError: toy broke)" in problems[0]
    assert pipeline._toolbox.pool.left == pipeline._toolbox.pool.total


def test_bodies_of_all_connections_share_one_limit() -> None:
    pipeline = Pipeline([Http1()], limits=Limits(memory=100_000, body=60_000))
    sizes: list[int] = []
    open_talks = []
    for number in range(1, 5):
        talk = Conversation(number=number).write(GET % number).read((OK % (60_000, b"x" * 60_000))[:-1])
        open_talks.append(talk)
        for record in talk.records:
            list(pipeline.feed(record))
        assert 0 <= pipeline._toolbox.pool.left <= 100_000
    for talk in open_talks:
        [end] = ended(item for item in pipeline.feed(talk.read(b"x").records[-1]))
        assert end.exchange.response is not None
        sizes.append(len(end.exchange.response.body))
        cut = 60_000 - sizes[-1]
        assert [(gap.reason, gap.bytes) for gap in end.exchange.missing] == (
            [("over the limit", cut)] if cut else []
        )
    # The byte that came last did not fit into what the others had left of the limit on all.
    assert sizes[0] == 59_999 and sizes[-1] < 1000 and sum(sizes) <= 100_000
    assert pipeline._toolbox.pool.left == 100_000
    assert not any(isinstance(record, Opened | Data) for record in pipeline.finish(1))


class Heir(Protocol):
    """Speaks "HEIR"; keeps the channels that it was given."""

    name = "heir"

    def __init__(self) -> None:
        self.channels: list[Channel] = []

    def recognise(self, channel: Channel, direction: Direction, start: bytes) -> bool | None:
        return start.startswith(b"HEIR")

    def decoder(self, channel: Channel, memory: Allowance) -> Decoder:
        self.channels.append(channel)
        return ToyDecoder(channel, memory)


@pytest.mark.parametrize("from_start", [True, False])
def test_a_channel_that_is_given_back_is_one_found_in_the_middle(from_start: bool) -> None:
    """Without a switch nothing begins there, so nobody may take its first bytes for the first there were."""
    heir = Heir()
    run(Conversation(from_start=from_start).write(b"TOY byeHEIR").records, protocols=[Toy(), heir])
    assert [(channel.from_start, channel.switch) for channel in heir.channels] == [(False, None)]


def test_a_channel_that_is_switched_begins_anew() -> None:
    heir = Heir()
    talk = Conversation(from_start=False)
    talk.write(b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: Heir\r\n\r\n")
    talk.read(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: heir\r\n\r\nHEIR")
    run(talk.records, protocols=[Http1(), heir])
    [channel] = heir.channels
    assert channel.from_start
    assert channel.switch is not None
    assert (channel.switch.protocol, channel.switch.client) == ("heir", "write")
