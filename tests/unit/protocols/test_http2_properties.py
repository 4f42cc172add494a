"""HTTP/2 whatever the borders of calls are, and whatever is lost: right, or marked."""

from __future__ import annotations

from collections.abc import Iterator

from hpack import Encoder
from hyperframe.frame import PingFrame, SettingsFrame, WindowUpdateFrame
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.conversation import PROCESS, Conversation, exchanges, run, summaries
from tests.unit.protocols.http2_talk import Headers, data, get, ok

from tlstap.pipeline import Pipeline
from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.http2.decoder import Http2
from tlstap.protocols.http2.frames import PREFACE
from tlstap.records import Closed, Data, Direction, Exchange, Message, Opened, TraceRecord

# (direction, bytes) of one frame or block after the other, as a connection moves them.
Moves = list[tuple[Direction, bytes]]


def headers_of(number: int) -> Headers:
    """Some the same in all exchanges, some new, some in turns."""
    return [("user-agent", "agent"), ("x-number", str(number)), (f"x-turn-{number % 3}", "on")]


def body_of(number: int) -> bytes:
    return bytes([65 + number % 26]) * (1 + 37 * number % 400)


def path_of(number: int) -> str:
    return f"/{number}"


@st.composite
def conversations(draw: st.DrawFn) -> Moves:
    """Up to a dozen exchanges on streams of their own, begun in order and interleaved as chance has it."""
    count = draw(st.integers(1, 12))
    order = draw(st.randoms(use_true_random=False))
    moves: Moves = [
        ("write", PREFACE + SettingsFrame(settings={4: 70000}).serialize()),
        ("read", SettingsFrame(settings={3: 100}).serialize()),
    ]
    client, server = Encoder(), Encoder()
    steps = [iter(_steps(number)) for number in range(count)]
    waiting, running = list(steps), list[Iterator[tuple[Direction, str, int]]]()
    while waiting or running:
        if waiting and (not running or order.random() < 0.4):
            running.append(waiting.pop(0))
        one = order.choice(running)
        step = next(one, None)
        if step is None:
            running.remove(one)
            continue
        direction, what, number = step
        moves.append((direction, _bytes(client if direction == "write" else server, what, number)))
        if order.random() < 0.15:
            moves.append(("write", WindowUpdateFrame(0, 1000 + number).serialize()))
        if order.random() < 0.1:
            moves.append(("read", PingFrame(0, bytes([number] * 8)).serialize()))
    return moves


def _steps(number: int) -> list[tuple[Direction, str, int]]:
    upload: list[tuple[Direction, str, int]] = [("write", "up", number)] if number % 2 else []
    return [("write", "request", number), *upload, ("read", "response", number), ("read", "down", number)]


def _bytes(encoder: Encoder, what: str, number: int) -> bytes:
    stream, body = 2 * number + 1, body_of(number)
    if what == "up":
        return data(stream, body, end=True).serialize()
    if what == "down":
        return data(stream, body[:5]).serialize() + data(stream, body[5:], end=True, pad=3).serialize()
    headers = headers_of(number)
    if what == "request":
        block = encoder.encode([*get(path_of(number)), *headers])
        flags = 0x4 if number % 2 else 0x5
    else:
        block = encoder.encode([*ok(("content-length", str(len(body)))), *headers])
        flags = 0x4
    return len(block).to_bytes(3, "big") + bytes([1, flags]) + stream.to_bytes(4, "big") + block


def one_by_one(moves: Moves) -> Conversation:
    """A call for each move."""
    talk = Conversation()
    for direction, payload in moves:
        talk.move(direction, payload)
    return talk


def decode(records: list[TraceRecord]) -> list[Exchange]:
    pipeline = Pipeline([Http1(), Http2()])
    found = exchanges(run(records, pipeline))
    assert pipeline._toolbox.pool.left == pipeline._toolbox.pool.total
    return found


def is_true(exchange: Exchange) -> bool:
    """Nothing that is shown was not sent: headers, bodies and pairs."""
    assert exchange.stream_id is not None
    number = exchange.stream_id // 2
    body, sent = body_of(number), headers_of(number)
    request, response = exchange.request, exchange.response
    if request is not None:
        assert request.target in (path_of(number), None)
        assert request.method in ("GET", None)
        assert request.authority in ("example.org", None)
        _headers_are_true(request, sent)
        assert _is_part(bytes(request.body), body if number % 2 else b"")
    if response is not None:
        assert response.status in (200, None)
        _headers_are_true(response, [("content-length", str(len(body))), *sent])
        assert _is_part(bytes(response.body), body)
    return True


def _headers_are_true(message: Message, sent: Headers) -> None:
    rest = list(sent)
    for header in message.headers:
        # In the order in which they were sent.
        assert header in rest, (header, sent)
        del rest[: rest.index(header) + 1]
    names = {name for name, _ in sent}
    values = {value for _, value in sent} | {"GET", "https", "example.org"}
    for unknown in message.unknown_headers:
        assert unknown.name in names or unknown.name is None
        assert unknown.value is None or unknown.value in values


def _is_part(shown: bytes, sent: bytes) -> bool:
    """Bodies are of one letter each, so what is left of one is shorter."""
    return len(shown) <= len(sent) and set(shown) <= set(sent)


@given(conversations())
def test_every_conversation_is_understood(moves: Moves) -> None:
    found = decode(one_by_one(moves).records)
    assert len(found) == sum(direction == "write" and payload[3] == 1 for direction, payload in moves)
    for exchange in found:
        assert is_true(exchange)
        assert exchange.stream_id is not None
        number = exchange.stream_id // 2
        assert exchange.missing == []
        assert exchange.request is not None and exchange.response is not None
        assert exchange.request.headers == headers_of(number)
        assert bytes(exchange.request.body) == (body_of(number) if number % 2 else b"")
        assert bytes(exchange.response.body) == body_of(number)


@given(conversations(), st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_borders_of_calls_do_not_matter(moves: Moves, sizes: list[int]) -> None:
    """The same bytes in other calls, as long as the directions alternate as they did."""
    whole = one_by_one(moves)
    other, turn = Conversation(), 0
    for direction, payload in moves:
        at = 0
        while at < len(payload):
            size = sizes[turn % len(sizes)]
            turn += 1
            other.move(direction, payload[at : at + size])
            at += size
    assert summaries(run(other.records, Pipeline([Http1(), Http2()]))) == summaries(
        run(whole.records, Pipeline([Http1(), Http2()]))
    )


@given(conversations(), st.integers(0, 1000))
def test_from_any_record_on_nothing_is_wrong(moves: Moves, first: int) -> None:
    talk = one_by_one(moves)
    records = talk.records[1 + first % len(moves) :]
    found = decode([Opened(talk.connection, PROCESS, 0, False), *records])
    assert all(is_true(exchange) for exchange in found)


@given(conversations(), st.lists(st.integers(0, 200), min_size=1, max_size=4))
def test_lost_records_cost_only_what_they_touched(moves: Moves, lost: list[int]) -> None:
    """Nothing is wrong; what is called complete is; what went before the first loss is whole."""
    indices = {index % len(moves) for index in lost}
    talk = Conversation()
    for index, (direction, payload) in enumerate(moves):
        if index in indices:
            talk.lose(direction, len(payload))
        else:
            talk.move(direction, payload)
    found = decode([*talk.records, *talk.close().records[-1:]])
    for exchange in found:
        assert is_true(exchange)
        if not exchange.missing:
            assert exchange.stream_id is not None
            number = exchange.stream_id // 2
            assert exchange.request is not None and exchange.response is not None
            assert bytes(exchange.request.body) == (body_of(number) if number % 2 else b"")
            assert bytes(exchange.response.body) == body_of(number)
            assert exchange.request.headers == headers_of(number)


@given(conversations(), st.integers(0, 10_000), st.integers(1, 300))
def test_a_gap_of_any_bytes(moves: Moves, at: int, size: int) -> None:
    """Any run of bytes of one direction, from the middle of a frame into the middle of another."""
    reads = sum(len(payload) for direction, payload in moves if direction == "read")
    begin, position = at % reads, 0
    talk = Conversation()
    for direction, payload in moves:
        if direction == "write":
            talk.write(payload)
            continue
        kept_before = payload[: max(0, begin - position)]
        gone = max(0, min(position + len(payload), begin + size) - max(position, begin))
        if gone == 0:
            talk.read(payload)
        else:
            if kept_before:
                talk.read(kept_before)
            talk.lose("read", gone)
            if rest := payload[len(kept_before) + gone :]:
                talk.read(rest)
        position += len(payload)
    assert all(is_true(exchange) for exchange in decode(talk.close().records))


@given(st.lists(st.tuples(st.sampled_from(["read", "write"]), st.binary(max_size=80), st.integers(0, 30))))
def test_arbitrary_bytes(pieces: list[tuple[Direction, bytes, int]]) -> None:
    """Known to be HTTP/2 and nothing but noise: nothing raises, every byte is accounted for."""
    talk = Conversation()
    talk.connection.alpn = "h2"
    for direction, payload, lost in pieces:
        if lost:
            talk.lose(direction, lost)
        talk.move(direction, payload)
    problems: list[str] = []
    pipeline = Pipeline([Http1(), Http2()], on_problem=problems.append)
    out = run([*talk.records, *talk.close().records[-1:]], pipeline)
    assert problems == []
    assert [record for record in out if isinstance(record, Data)] == [
        record for record in talk.records if isinstance(record, Data)
    ]
    assert isinstance(out[-1], Closed)
    assert pipeline._toolbox.pool.left == pipeline._toolbox.pool.total
