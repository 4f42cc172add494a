"""What the driver says against what was traced."""

from __future__ import annotations

from tests.unit.conformance.ends import (
    ANSWERED,
    ASKED,
    CLIENT,
    SERVER,
    Trace,
    calls,
    end,
    one_exchange,
    texts,
)

from tlstap.conformance.compare import Features, compare

BYTES = Features(births=False, frees=False, handshakes=False, roles=False)
READ = f"the client's read: expected {len(ANSWERED)} bytes, saw"


def test_all_as_it_should_be() -> None:
    trace = Trace()
    one_exchange(trace)
    [check] = compare("exchange", [CLIENT, SERVER], trace.seen, Features())
    assert check.line() == (
        "ok       exchange: 2 connections, 86 bytes: every byte once, roles, seen from the start, "
        "handshakes, ends"
    )


def test_calls_may_divide_the_bytes_in_any_way() -> None:
    seen = calls(("write", ASKED, "w"), *(("read", ANSWERED[n : n + 1], "r") for n in range(len(ANSWERED))))
    assert texts(compare("exchange", [CLIENT], seen, BYTES)) == []


def test_ends_that_moved_nothing_do_not_count() -> None:
    trace = Trace()
    one_exchange(trace)
    trace.open()
    ends = [CLIENT, SERVER, end(b"", b"")]
    assert texts(compare("exchange", ends, trace.seen, Features())) == []


def test_nothing_was_seen() -> None:
    assert texts(compare("exchange", [CLIENT], [], BYTES)) == [
        "exchange, connections: expected 1, saw none",
        "exchange, bytes: expected a connection that read 19 and wrote 24 bytes as client, saw none",
    ]


def test_bytes_that_are_missing() -> None:
    seen = calls(("write", ASKED, "w"), ("read", ANSWERED[:7], "r"))
    assert texts(compare("large", [CLIENT], seen, BYTES)) == [
        f"large, bytes: {READ} 7 by r: calls of another read function are not seen, or the length "
        "of r is wrong "
        "(`moved`)"
    ]


def test_bytes_that_were_lost() -> None:
    trace = Trace()
    seen = trace.open()
    seen.call("write", ASKED)
    seen.call("read", ANSWERED[:7])
    seen.lose(12)
    assert texts(compare("large", [CLIENT], trace.seen, BYTES)) == [
        f"large, bytes: {READ} 7 by tls_read: 12 bytes lost: the ring was full"
    ]


def test_each_call_twice() -> None:
    seen = calls(("write", ASKED, "w"), ("read", ANSWERED, "r"), ("read", ANSWERED, "r"))
    assert texts(compare("large", [CLIENT], seen, BYTES)) == [
        f"large, bytes: {READ} 38 by r: each call's bytes came twice by r"
    ]


def test_another_function_shows_the_same_bytes() -> None:
    seen = calls(("write", ASKED, "w"), ("read", ANSWERED, "peek"), ("read", ANSWERED, "r"))
    assert texts(compare("large", [CLIENT], seen, BYTES)) == [
        f"large, bytes: {READ} 38 by peek, r: what peek showed (the same bytes again) is too much, "
        "the rest is "
        "right: leave its probe out?"
    ]


def test_another_function_shows_part_of_them_again() -> None:
    seen = calls(("write", ASKED, "w"), ("read", ANSWERED, "r"), ("read", ANSWERED[:4], "peek"))
    assert texts(compare("large", [CLIENT], seen, BYTES)) == [
        f"large, bytes: {READ} 23 by r, peek: what peek showed is too much, the rest is right: "
        "leave its probe out?"
    ]


def test_failed_calls_that_count() -> None:
    seen = calls(("write", ASKED, "w"), ("read", ANSWERED, "r"), ("read", b"rubbish", "r"))
    assert texts(compare("failed", [CLIENT], seen, BYTES)) == [
        f"failed, bytes: {READ} 26 by r: it begins with the right ones; were calls that moved "
        "nothing counted "
        "(`success`)?"
    ]


def test_too_long() -> None:
    seen = calls(("write", ASKED, "w"), ("read", b"rubbish" + ANSWERED, "r"))
    assert texts(compare("failed", [CLIENT], seen, BYTES)) == [
        f"failed, bytes: {READ} 26 by r: is the length of r right: `moved`, `success`, `length`?"
    ]


def test_out_of_order() -> None:
    seen = calls(("write", ASKED, "w"), ("read", ANSWERED[7:], "r"), ("read", ANSWERED[:7], "r"))
    assert texts(compare("threads", [CLIENT], seen, BYTES)) == [
        f"threads, bytes: {READ} as many others by r: is `buffer` the right argument of r, is the "
        "order right?"
    ]


def test_not_readable() -> None:
    trace = Trace()
    seen = trace.open()
    seen.call("write", ASKED)
    seen.call("read", ANSWERED, unreadable=19)
    assert texts(compare("large", [CLIENT], trace.seen, BYTES)) == [
        f"large, bytes: {READ} 0 of 19 by tls_read: 19 bytes were not readable where tls_read is "
        "said to have "
        "them: is `buffer` the right argument?"
    ]


def test_the_wrong_direction() -> None:
    seen = calls(("write", ASKED, "w"), ("write", ANSWERED, "r"))
    assert texts(compare("large", [CLIENT], seen, BYTES)) == [
        f"large, bytes: {READ} none: no read probe saw these calls",
        "large, bytes: the client's write: expected 24 bytes, saw 43 by w, r: r showed what the "
        "application read: "
        "its `direction` is wrong",
    ]


def test_both_directions_wrong() -> None:
    """Each end looks like the other one; only the order of the calls tells."""
    trace = Trace()
    client, server = trace.open(), trace.open()
    client.call("read", ASKED, "w")
    server.call("write", ASKED, "r")
    server.call("read", ANSWERED, "w")
    client.call("write", ANSWERED, "r")
    assert texts(compare("exchange", [CLIENT, SERVER], trace.seen, BYTES)) == [
        "exchange, direction: expected bytes to be written before they are read, saw w read what r "
        "wrote later: "
        "their directions are the wrong way round"
    ]


def test_the_same_bytes_on_another_connection() -> None:
    trace = Trace()
    one_exchange(trace)
    trace.open().call("read", ANSWERED, "outer_read")
    assert texts(compare("exchange", [CLIENT, SERVER], trace.seen, Features())) == [
        "exchange, connections: expected 2, saw 3",
        "exchange, bytes: expected every byte once, saw the same bytes again on another connection by "
        "outer_read: its handle is another one than that of the function which it calls or which calls it",
    ]


def test_a_connection_that_nobody_knows() -> None:
    trace = Trace()
    one_exchange(trace)
    trace.open().call("read", b"what is this", "r")
    assert texts(compare("exchange", [CLIENT, SERVER], trace.seen, Features()))[1:] == [
        "exchange, bytes: expected nothing more, saw a connection of which the driver knows nothing, by r"
    ]


def test_a_connection_seen_as_two() -> None:
    trace = Trace()
    trace.open().call("write", ASKED, "w")
    trace.open().call("read", ANSWERED, "r")
    assert texts(compare("exchange", [CLIENT], trace.seen, BYTES)) == [
        "exchange, connections: expected 1, saw 2",
        "exchange, bytes: expected one connection, saw its reads and its writes as two: is `handle` "
        "the same of r "
        "and w (`identify`)?",
    ]


def test_connections_that_were_not_divided() -> None:
    """One line, not one for each byte that is elsewhere."""
    seen = calls(("write", ASKED * 2, "w"), ("read", ANSWERED * 2, "r"))
    assert texts(compare("reuse", [CLIENT, CLIENT], seen, BYTES)) == [
        "reuse, connections: expected 2, saw 1: a handle that comes again is a new connection: is there a "
        "BirthProbe or a FreeProbe?"
    ]


def test_many_differences_are_not_all_told() -> None:
    ends = [end(ANSWERED * n, ASKED * n) for n in range(1, 9)]
    trace = Trace()
    for n in range(1, 9):
        seen = trace.open()
        seen.call("write", ASKED * n, "w")
        seen.call("read", ANSWERED * n + b"!", "r")
    failures = texts(compare("interleaved", ends, trace.seen, BYTES))
    assert (len(failures), failures[-1]) == (4, "interleaved, bytes: and 5 more")
    assert all(
        f"expected {19 * n} bytes, saw {19 * n + 1} by r" in text for n, text in enumerate(failures[:3], 1)
    )


def test_the_rest() -> None:
    """Role, birth, handshake, end."""
    trace = Trace()
    seen = trace.open("server", from_start=False)
    seen.handshake(ok=False)
    seen.call("write", ASKED)
    seen.call("read", ANSWERED)
    assert texts(compare("exchange", [CLIENT], trace.seen, Features())) == [
        "exchange, role: expected client, saw server (1 of 1)",
        "exchange, open: expected connections to be seen from their birth, saw 1 of 1 only later",
        "exchange, handshake: expected one that succeeded on each connection, saw one that failed (1 of 1): "
        "`success`?",
        "exchange, close: expected one end of each connection, saw 0",
    ]
    assert texts(compare("exchange", [CLIENT], trace.seen, BYTES)) == []


def test_the_end_says_how_much_was_moved() -> None:
    trace = Trace()
    one_exchange(trace)
    trace.seen[0].closed[0].read_bytes = 3
    assert texts(compare("exchange", [CLIENT, SERVER], trace.seen, Features())) == [
        "exchange, close: expected 19 bytes read and 24 written at the end, saw 3 and 24"
    ]


def test_an_end_that_comes_late() -> None:
    """The first connection's ends must be seen before the second moves its last bytes."""

    def play(early: bool) -> list[str]:
        trace, ends, open_ones = Trace(), [], []
        for number in range(2):
            asked, answered = ASKED + bytes([number]), ANSWERED + bytes([number])
            ends += [end(answered, asked), end(asked, answered, "server")]
            for one in ends[-2:]:
                seen = trace.open(one.role)
                seen.handshake()
                seen.call("read", answered if one.role == "client" else asked)
                open_ones.append((seen, asked if one.role == "client" else answered))
        for number, (seen, data) in enumerate(open_ones):
            seen.call("write", data)
            if early and number < 2:
                seen.close()
        for seen, _ in open_ones[2 if early else 0 :]:
            seen.close()
        return texts(compare("close", ends, trace.seen, Features()))

    assert play(early=True) == []
    assert play(early=False) == [
        "close, close: expected one connection's two ends to end before the other's, saw none: does the free "
        "probe's function end the connection?"
    ]


def test_handles_that_came_again() -> None:
    trace = Trace()
    ends = []
    for n, handle in enumerate(["0x1", "0x2", "0x1", "0x1"], 1):
        seen = trace.open()
        seen.call("write", ASKED * n)
        ends.append(end(b"", ASKED * n, handle=handle))
    [check] = compare("reuse", ends, trace.seen, BYTES)
    assert check.text == "4 connections, 240 bytes: every byte once, 2 handles came again"
    [check] = compare("reuse", ends[:1], trace.seen[:1], BYTES)
    assert check.text.endswith("but no handle came again, so that was not tried")
