"""HTTP/1: framing, pairing, informational responses, upgrades, losses."""

from __future__ import annotations

import pytest
from tests.unit.protocols.conversation import Conversation, channel, ended, exchanges, summaries, undecoded

from tlstap.protocols.http1.decoder import MAX_HEAD, Http1
from tlstap.protocols.http1.pairing import MAX_PENDING
from tlstap.records import ExchangeEnded, HeadSeen, MessageEnded, Record, Undecoded


def request(target: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: example.org", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def response(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_exchange_as_the_client_sees_it() -> None:
    post = b"POST /a?b=c HTTP/1.1\r\nHost: example.org:8443\r\n"
    post += b"X-Name: caf\xc3\xa9\r\nx-raw: \xff\r\nContent-Length: 5\r\n\r\n"
    talk = Conversation().write(post).write(b"hel").write(b"lo")
    talk.read(b"HTTP/1.1 201 Made it\r\nContent-Le").read(b"ngth: 2\r\n\r\nok")
    out = talk.run()
    [end] = ended(out)
    exchange = end.exchange
    sent, answer = exchange.request, exchange.response
    assert sent is not None and answer is not None
    assert end.complete and exchange.missing == [] and exchange.protocol == "HTTP/1.1"
    assert (sent.method, sent.scheme, sent.authority, sent.target) == (
        "POST",
        "https",
        "example.org:8443",
        "/a?b=c",
    )
    assert sent.headers == [
        ("Host", "example.org:8443"),
        ("X-Name", "café"),
        ("x-raw", "ÿ"),
        ("Content-Length", "5"),
    ]
    assert (bytes(sent.body), sent.body_bytes, sent.body_wire_bytes) == (b"hello", 5, 5)
    assert (sent.start_ns, sent.end_ns) == (1, 3)
    assert (answer.status, answer.reason, bytes(answer.body)) == (201, "Made it", b"ok")
    assert (answer.start_ns, answer.end_ns) == (4, 5)


def test_order_of_records() -> None:
    """Each as soon as it can be known."""
    talk = (
        Conversation().write(request(method="PUT", body=b"x")[:-1]).write(b"x").read(response(b"y")).close()
    )
    kinds: list[str] = []
    for record in talk.run():
        name = type(record).__name__
        if isinstance(record, HeadSeen | MessageEnded):
            name += f" {record.direction} {record.time_ns}"
        kinds.append(name)
    assert kinds == [
        "Opened",
        "Data",
        "HeadSeen write 1",
        "Data",
        "MessageEnded write 2",
        "Data",
        "HeadSeen read 3",
        "MessageEnded read 3",
        "ExchangeEnded",
        "Closed",
    ]


def test_server_reads_requests() -> None:
    talk = Conversation().read(request("/s")).write(response(b"served"))
    assert summaries(talk.run()) == ["GET /s b'' -> 200 b'served'"]


def test_keep_alive_and_pipelining() -> None:
    talk = Conversation().write(request("/1") + request("/2") + request("/3")[:20]).write(request("/3")[20:])
    talk.read(response(b"one") + response(b"two")[:-1]).read(b"o" + response(b"three"))
    talk.write(request("/4")).read(response(b"four"))
    assert summaries(talk.run()) == [
        "GET /1 b'' -> 200 b'one'",
        "GET /2 b'' -> 200 b'two'",
        "GET /3 b'' -> 200 b'three'",
        "GET /4 b'' -> 200 b'four'",
    ]


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
    ],
)
def test_responses_without_body(method: str, head: bytes) -> None:
    talk = Conversation().write(request("/1", method=method)).read(head)
    talk.write(request("/2")).read(response(b"two"))
    first, second = summaries(talk.run())
    assert first.endswith(" b''") and second == "GET /2 b'' -> 200 b'two'"


def test_chunked_with_extensions_and_trailers() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    body = b"3;name=value\r\nabc\r\n000A\r\n0123456789\r\n0;last\r\nX-Sum: 7\r\n\r\n"
    talk = Conversation().write(request()).read(head + body + b"HTTP/1.1 200")
    [exchange] = exchanges(talk.close().run())[:1]
    assert exchange.response is not None
    assert bytes(exchange.response.body) == b"abc0123456789"
    assert exchange.response.trailers == [("X-Sum", "7")]
    assert exchange.response.body_wire_bytes == 13
    assert exchange.missing == []


@pytest.mark.parametrize(("closed", "complete"), [(True, True), (False, False)])
def test_body_until_close(closed: bool, complete: bool) -> None:
    talk = Conversation().write(request()).read(b"HTTP/1.0 200 OK\r\n\r\nso").read(b" long")
    if closed:
        talk.close()
    [end] = ended(talk.run())
    assert end.complete is complete
    assert end.exchange.response is not None and bytes(end.exchange.response.body) == b"so long"
    assert [gap.reason for gap in end.exchange.missing] == ([] if complete else ["unfinished"])


def test_informational_responses() -> None:
    talk = Conversation().write(request(*("/", "Expect: 100-continue"), method="PUT", body=b"data")[:-4])
    talk.read(b"HTTP/1.1 100 Continue\r\n\r\n").write(b"data")
    talk.read(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"done"))
    out = talk.run()
    [exchange] = exchanges(out)
    assert [message.status for message in exchange.informational] == [100, 103]
    assert exchange.informational[1].headers == [("Link", "</a>")]
    assert summaries(out) == ["PUT / b'data' -> 200 b'done'"]


def test_expected_body_that_is_never_sent() -> None:
    talk = Conversation().write(request("/", "Expect: 100-continue", method="PUT", body=b"data")[:-4])
    talk.read(response(b"no", status="417 Expectation Failed"))
    talk.write(request("/2")).read(response(b"two"))
    assert summaries(talk.run()) == [
        "PUT / b'' -> 417 b'no' [request body not seen 4]",
        "GET /2 b'' -> 200 b'two'",
    ]


def test_final_response_before_the_request_ends() -> None:
    talk = Conversation().write(request(method="POST", body=b"abcd")[:-2])
    talk.read(response(b"", status="413 Too Large")).write(b"cd")
    assert summaries(talk.run()) == ["POST / b'abcd' -> 413 b''"]


def test_upgrade_hands_the_rest_over() -> None:
    upgrade = ("Connection: keep-alive, Upgrade", "Upgrade: websocket")
    talk = Conversation().write(request("/ws", *upgrade))
    talk.read(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi"
    )
    talk.write(b"\x81\x85").write(b"mask").close()
    out = talk.run()
    assert summaries(out) == ["GET /ws b'' -> 101 b''"]
    assert undecoded(out, "read") == b"\x81\x02hi" and undecoded(out, "write") == b"\x81\x85mask"


def test_bytes_before_a_switch_are_not_handed_over() -> None:
    """What was not understood before is not of the other protocol, and keeps its place."""
    invalid, other = b"GET / HTTP/1.1\r\n\xff: \r\n\r\n", b"GET / "
    switch = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    out = Conversation().read(invalid + other + switch + b"xyz").run()
    assert summaries(out) == ["- -> 101 b'' [request not seen]"]
    shown = [(r.offset, r.payload) for r in out if isinstance(r, Undecoded)]
    end = len(invalid + other + switch)
    assert shown == [(0, invalid), (len(invalid), other), (end, b"xyz")]


def test_refused_upgrade_stays_http() -> None:
    """What came behind the request is HTTP, though it had to wait for the answer."""
    upgrade = ("Connection: Upgrade", "Upgrade: h2c")
    talk = Conversation().write(request("/1", *upgrade) + request("/2")).read(response(b"one"))
    talk.read(response(b"two"))
    assert summaries(talk.run()) == ["GET /1 b'' -> 200 b'one'", "GET /2 b'' -> 200 b'two'"]


def test_tunnel_is_recognised_again() -> None:
    """A proxy's CONNECT over TLS, and plain HTTP inside it."""
    talk = Conversation().write(b"CONNECT inner:80 HTTP/1.1\r\nHost: inner:80\r\n\r\n" + request("/in"))
    talk.read(b"HTTP/1.1 200 Connected\r\nContent-Length: 3\r\n\r\n" + response(b"inside"))
    out = talk.run()
    assert summaries(out) == ["CONNECT inner:80 b'' -> 200 b''", "GET /in b'' -> 200 b'inside'"]
    assert exchanges(out)[0].request is not None
    assert exchanges(out)[0].request.authority == "inner:80"  # type: ignore[union-attr]


def test_absolute_target() -> None:
    out = Conversation().write(b"GET http://far.example/x HTTP/1.1\r\nHost: proxy\r\n\r\n").run()
    sent = exchanges(out)[0].request
    assert sent is not None
    assert (sent.scheme, sent.authority, sent.target) == ("http", "far.example", "http://far.example/x")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET / HTTP/1.0\r\n\r\n",
    ],
)
def test_unusual_heads(head: bytes) -> None:
    """What real programs send, valid or not, is shown."""
    talk = Conversation().write(request()).read(response()).write(head).read(response(b"ok"))
    _, second = summaries(talk.run())
    assert second.endswith("-> 200 b'ok'") and not second.startswith("-")


def test_found_in_the_middle() -> None:
    talk = Conversation(from_start=False).lose("read", 1000).lose("write", 70)
    talk.read(b"rest of a body").write(request("/1")).read(response(b"one"))
    out = talk.run()
    assert summaries(out) == ["GET /1 b'' -> 200 b'one'"]
    assert undecoded(out, "read") == b"rest of a body"


def test_response_without_request() -> None:
    talk = Conversation(from_start=False).read(response(b"zero")).write(request("/1")).read(response(b"one"))
    assert summaries(talk.run()) == [
        "- -> 200 b'zero' [request not seen]",
        "GET /1 b'' -> 200 b'one'",
    ]


def test_response_to_an_unseen_head_request() -> None:
    """Its length announces a body that never comes: the next status line tells."""
    talk = Conversation(from_start=False).read(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    talk.write(request("/1")).read(response(b"one"))
    assert summaries(talk.run()) == [
        "- -> 200 b'' [request not seen; response body not seen 99]",
        "GET /1 b'' -> 200 b'one'",
    ]


def test_request_without_response() -> None:
    assert summaries(Conversation().write(request("/1")).close().run()) == [
        "GET /1 b'' -> - [response not seen]"
    ]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (response(b"body")[:-1], "GET / b'' -> 200 b'bod' [response body unfinished 1]"),
        (response(b"body")[:20], "GET / b'' -> - [response unfinished]"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            "GET / b'' -> 200 b'abc' [response body unfinished]",
        ),
    ],
)
def test_ends_in_the_middle(sent: bytes, expected: str) -> None:
    out = Conversation().write(request()).read(sent).close().run()
    assert summaries(out) == [expected] and not ended(out)[0].complete


def test_gap_in_a_body_of_known_length() -> None:
    talk = Conversation().write(request("/1")).read(response(b"0123456789")[:-8]).lose("read", 5)
    talk.read(b"789").write(request("/2")).read(response(b"two"))
    out = talk.run()
    assert summaries(out) == [
        "GET /1 b'' -> 200 b'01789' [response body lost 5]",
        "GET /2 b'' -> 200 b'two'",
    ]
    assert not ended(out)[0].complete and ended(out)[1].complete


def test_cut_tail_ends_the_body_at_once() -> None:
    """The call says how long it was, so the exchange need not wait for what comes next."""
    talk = Conversation().write(request("/1"))
    talk.move("read", response(b"0123456789")[:-6], cut=6)
    pipeline_out = talk.run()
    end = ended(pipeline_out)[0]
    assert end.time_ns == 2
    assert summaries(pipeline_out) == ["GET /1 b'' -> 200 b'0123' [response body lost 6]"]


def test_gap_inside_a_chunk() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    talk = (
        Conversation()
        .write(request())
        .read(head + b"a\r\n0123")
        .lose("read", 4)
        .read(b"89\r\n1\r\nX\r\n0\r\n\r\n")
    )
    assert summaries(talk.run()) == ["GET / b'' -> 200 b'012389X' [response body lost 4]"]


def test_gap_over_the_border_of_a_chunk() -> None:
    """Nobody knows where the body ends: it is given up, and the next response is found."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    talk = (
        Conversation()
        .write(request("/1"))
        .read(head + b"4\r\n0123\r\n")
        .lose("read", 8)
        .read(b"rest\r\n0\r\n\r\n")
    )
    talk.write(request("/2")).read(response(b"two"))
    out = talk.run()
    assert summaries(out) == [
        "GET /1 b'' -> 200 b'0123' [response body lost 8]",
        "GET /2 b'' -> 200 b'two'",
    ]
    assert undecoded(out, "read") == b"rest\r\n0\r\n\r\n"


def test_gap_in_a_response_head_loses_that_response_only() -> None:
    talk = (
        Conversation().write(request("/1")).read(response(b"one")[:20]).lose("read", 12).read(b"\r\n\r\none")
    )
    talk.write(request("/2")).read(response(b"two"))
    out = talk.run()
    assert summaries(out) == ["GET /1 b'' -> - [response lost 12]", "GET /2 b'' -> 200 b'two'"]
    assert undecoded(out, "read") == response(b"one")[:20] + b"\r\n\r\none"


def test_gap_in_a_request_head_loses_that_request_only() -> None:
    talk = Conversation().write(request("/1", method="HEAD")[:24]).lose("write", 5).write(b"org\r\n\r\n")
    talk.read(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
    talk.write(request("/2")).read(response(b"two"))
    assert summaries(talk.run()) == [
        "- -> 200 b'' [request lost 5]",
        "GET /2 b'' -> 200 b'two'",
    ]


def test_lost_response_does_not_shift_the_pairs() -> None:
    """A client that does not pipeline sent its next request only after it had the answer."""
    talk = Conversation().write(request("/1")).read(response(b"one"))
    talk.write(request("/2")).lose("read", len(response(b"two")))
    talk.write(request("/3")).read(response(b"three"))
    talk.write(request("/4")).read(response(b"four"))
    assert summaries(talk.run())[1:] == [
        f"GET /2 b'' -> - [response lost {len(response(b'two'))}]",
        "GET /3 b'' -> 200 b'three'",
        "GET /4 b'' -> 200 b'four'",
    ]


def test_lost_beginning_of_a_response_does_not_shift_the_pairs() -> None:
    talk = Conversation().write(request("/1")).read(response(b"one"))
    talk.write(request("/2")).lose("read", 50).read(b"tail of a long body")
    talk.write(request("/3")).read(response(b"three"))
    out = talk.run()
    assert summaries(out)[1:] == ["GET /2 b'' -> - [response lost 50]", "GET /3 b'' -> 200 b'three'"]
    assert undecoded(out, "read") == b"tail of a long body"


def test_response_to_a_request_of_which_the_end_is_lost() -> None:
    """The gap shows only with the next request, when the response is long there."""
    talk = Conversation().write(request("/0")[:-3]).lose("write", 3).read(response(b"zero"))
    talk.write(request("/1")).read(response(b"one"))
    talk.write(request("/2")).read(response(b"two"))
    assert summaries(talk.run()) == [
        "- -> 200 b'zero' [request not seen]",
        "GET /1 b'' -> 200 b'one'",
        "GET /2 b'' -> 200 b'two'",
    ]


def test_response_before_its_request_is_complete() -> None:
    talk = Conversation().write(request("/0")[:-3]).read(response(b"zero"))
    talk.write(request("/0")[-3:]).write(request("/1")).read(response(b"one"))
    assert summaries(talk.run()) == [
        "- -> 200 b'zero' [request not seen]",
        "GET /0 b'' -> - [response not seen]",
        "GET /1 b'' -> 200 b'one'",
    ]


def test_lost_request_does_not_shift_the_pairs() -> None:
    talk = Conversation().write(request("/1")).read(response(b"one")).lose("write", 90).read(response(b"two"))
    talk.write(request("/3")).read(response(b"three"))
    assert summaries(talk.run()) == [
        "GET /1 b'' -> 200 b'one'",
        "- -> 200 b'two' [request not seen]",
        "GET /3 b'' -> 200 b'three'",
    ]


def test_pipelining_client_and_a_lost_response() -> None:
    talk = Conversation().write(request("/1") + request("/2")).read(response(b"one")).read(response(b"two"))
    talk.write(request("/3") + request("/4") + request("/5")).read(response(b"three"))
    talk.lose("read", 42).read(response(b"five"))
    assert summaries(talk.run())[2:] == [
        "GET /3 b'' -> 200 b'three'",
        "GET /4 b'' -> - [response lost 42]",
        "GET /5 b'' -> 200 b'five'",
    ]


def test_garbage_is_shown_and_http_found_again() -> None:
    talk = Conversation().write(request("/1")).read(response(b"one")).write(b"\x00garbage \xff\n junk")
    talk.write(b"more" + request("/2")).read(b"noise" + response(b"two"))
    out = talk.run()
    assert summaries(out) == ["GET /1 b'' -> 200 b'one'", "GET /2 b'' -> 200 b'two'"]
    assert undecoded(out, "write") == b"\x00garbage \xff\n junkmore" and undecoded(out, "read") == b"noise"


def test_invalid_head_is_shown() -> None:
    bad = b"GET /bad HTTP/1.1\r\nno colon here\r\n\r\n"
    out = Conversation().write(request("/1") + bad + request("/2")).run()
    assert [exchange.request.target for exchange in exchanges(out) if exchange.request] == ["/1", "/2"]
    assert undecoded(out, "write") == bad


def test_invalid_chunk_ends_the_message() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    talk = Conversation().write(request("/1")).read(head + b"3\r\nabc\r\nnonsense\r\n")
    talk.write(request("/2")).read(response(b"two"))
    assert summaries(talk.run()) == [
        "GET /1 b'' -> 200 b'abc' [response body unfinished]",
        "GET /2 b'' -> 200 b'two'",
    ]


def test_endless_head_is_given_up() -> None:
    talk = Conversation().write(b"GET / HTTP/1.1\r\n")
    for _ in range(MAX_HEAD // 1000 + 1):
        talk.write(b"X: " + b"y" * 995 + b"\r\n")
    talk.write(request("/2"))
    out = talk.run()
    assert [end.exchange.request.target for end in ended(out) if end.exchange.request] == ["/2"]
    assert summaries(out)[0] == "- -> - [request over the limit; response not seen]"


def test_unanswered_requests_are_bounded() -> None:
    talk = Conversation()
    for number in range(MAX_PENDING + 5):
        talk.write(request(f"/{number}"))
    out = talk.run()
    early = [record for record in out if isinstance(record, ExchangeEnded) and record.time_ns < 10**6]
    assert [end.exchange.request.target for end in early if end.exchange.request] == [
        f"/{n}" for n in range(5)
    ]
    assert {gap.reason for end in early for gap in end.exchange.missing} == {"over the limit"}


@pytest.mark.parametrize(
    ("start", "verdict"),
    [
        (b"G", None),
        (b"GET /", None),
        (b"GET / HTTP/1.1\r", None),
        (b"GET / HTTP/1.1\r\n", True),
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200\r\n", True),
        (b"HTTP/1.", None),
        (b"HTTP/2 200\r\n", False),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", False),
        (b"HELO example.org\r\n", False),
        (b"SSH-2.0-x\r\n", False),
        (b"\x16\x03\x01", False),
        (b"get / http/1.1\r\n", False),
    ],
)
def test_recognition(start: bytes, verdict: bool | None) -> None:
    assert Http1().recognise(channel(), "read", start) is verdict


def test_records_of_the_trace_pass_unchanged() -> None:
    talk = Conversation().write(request()).read(response(b"x")).close()
    out: list[Record] = talk.run()
    assert [record for record in out if record in talk.records] == talk.records
