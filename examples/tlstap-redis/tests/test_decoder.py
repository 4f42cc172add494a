"""Conversations with a Redis server, and the messages that come out."""

from __future__ import annotations

import pytest
from tlstap_redis import Redis

from tlstap import ProtocolMessage
from tlstap.testing import Conversation, Limits, messages, undecoded

Said = tuple[str, str, bytes, dict[str, object]]

BINARY = bytes(range(256)) + b"\r\n*1\r\n$4\r\nPING\r\n"


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(bulk(word) for word in words)


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def found(talk: Conversation, limits: Limits | None = None) -> list[ProtocolMessage]:
    return messages(talk.decode([Redis()], limits=limits or Limits()))


def whole(talk: Conversation) -> list[Said]:
    """Messages that lack nothing."""
    said = []
    for message in found(talk):
        assert message.missing == []
        assert message.size == len(message.payload)
        said.append((message.direction, message.type, message.payload, message.details))
    return said


def lacking(talk: Conversation) -> list[tuple[str, bytes, str]]:
    """Messages, with what they lack."""
    return [
        (message.type, message.payload, "; ".join(f"{m.reason} {m.bytes}" for m in message.missing))
        for message in found(talk)
    ]


def reply(kind: str, answers: str, text: bytes, **more: object) -> Said:
    return ("read", "reply", text, {"kind": kind, "reply_to": answers, **more})


def test_a_command_and_its_reply() -> None:
    talk = Conversation().write(command(b"set", b"key", BINARY)).read(b"+OK\r\n")
    talk.write(command(b"GET", b"key")).read(bulk(BINARY))
    assert whole(talk) == [
        ("write", "command", b"set key " + BINARY, {"command": "SET", "lengths": f"3:3:{len(BINARY)}"}),
        reply("simple", "SET", b"OK"),
        ("write", "command", b"GET key", {"command": "GET", "lengths": "3:3"}),
        reply("bulk", "GET", BINARY),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_the_borders_of_calls_do_not_matter(size: int) -> None:
    sent = command(b"SET", b"key", BINARY) + command(b"HGETALL", b"h") + command(b"GET", b"none")
    received = b"+OK\r\n" + b"*2\r\n" + bulk(b"field") + bulk(BINARY) + b"$-1\r\n"
    pieces = Conversation().in_pieces("write", sent, size).in_pieces("read", received, size)
    assert whole(pieces) == whole(Conversation().write(sent).read(received))
    assert [each[3].get("reply_to") for each in whole(pieces)[3:]] == ["SET", "HGETALL", "GET"]


@pytest.mark.parametrize(
    ("wire", "kind", "content"),
    [
        (b"+OK\r\n", "simple", b"OK"),
        (b":-12\r\n", "integer", b"-12"),
        (b"$0\r\n\r\n", "bulk", b""),
        (b"$-1\r\n", "null", b""),
        (b"*-1\r\n", "null", b""),
        (b"*0\r\n", "array", b""),
        (b"_\r\n", "null", b""),
        (b"#t\r\n", "boolean", b"t"),
        (b",-1.5e3\r\n", "double", b"-1.5e3"),
        (b",inf\r\n", "double", b"inf"),
        (b"(3492890328409238509324850943850943825024385\r\n", "big-number", None),
        (b"=7\r\ntxt:a\r\n\r\n", "verbatim", b"txt:a\r\n"),
    ],
)
def test_every_kind_of_reply(wire: bytes, kind: str, content: bytes | None) -> None:
    talk = Conversation().write(command(b"PING")).read(wire)
    [_, answer] = whole(talk)
    assert answer == reply(kind, "PING", wire[1:-2] if content is None else content)


def test_replies_in_replies() -> None:
    """Their parts stand one below the other, as redis-cli prints them."""
    nested = b"%2\r\n+one\r\n*2\r\n:1\r\n$-1\r\n+two\r\n|1\r\n+ttl\r\n:9\r\n~1\r\n#t\r\n"
    talk = Conversation().write(command(b"PING")).read(nested + b"*0\r\n")
    assert whole(talk)[1:] == [
        reply("map", "PING", b"one\n1\n\ntwo\nttl\n9\nt", lengths="3:1:-:3:3:1:1"),
        ("read", "reply", b"", {"kind": "array"}),
    ]


def test_an_attribute_is_no_reply() -> None:
    talk = Conversation().write(command(b"PING")).read(b"|1\r\n+ttl\r\n:9\r\n+PONG\r\n")
    assert whole(talk)[1:] == [
        ("read", "attribute", b"ttl\n9", {"kind": "attribute", "lengths": "3:1"}),
        reply("simple", "PING", b"PONG"),
    ]


@pytest.mark.parametrize("wire", [b"-ERR no such key\r\n", b"!15\r\nERR no such key\r\n"])
def test_errors(wire: bytes) -> None:
    talk = Conversation().write(command(b"RENAME", b"a", b"b")).read(wire)
    [_, error] = whole(talk)
    kind = "error" if wire[:1] == b"-" else "bulk-error"
    assert error == ("read", "error", b"ERR no such key", {"kind": kind, "reply_to": "RENAME"})


def test_a_transaction() -> None:
    talk = Conversation()
    for words in ((b"MULTI",), (b"INCR", b"n"), (b"EXEC",)):
        talk.write(command(*words))
    talk.read(b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n")
    assert whole(talk)[3:] == [
        reply("simple", "MULTI", b"OK"),
        reply("simple", "INCR", b"QUEUED"),
        reply("array", "EXEC", b"1"),
    ]


def test_inline_commands() -> None:
    talk = Conversation().write(command(b"PING")).read(b"+PONG\r\n")
    talk.write(b"set key 'a b'\r\n\r\nget key\n").read(b"+OK\r\n").read(bulk(b"a b"))
    inline = {"inline": True}
    assert whole(talk)[2:] == [
        ("write", "command", b"set key 'a b'", {"command": "SET", **inline}),
        ("write", "command", b"get key", {"command": "GET", **inline}),
        reply("simple", "SET", b"OK"),
        reply("bulk", "GET", b"a b"),
    ]


@pytest.mark.parametrize("mark", [b"*", b">"])
def test_publish_and_subscribe(mark: bytes) -> None:
    """RESP2 sends arrays, RESP3 pushes; each channel is confirmed by itself."""
    kind = "array" if mark == b"*" else "push"

    def three(*words: bytes) -> bytes:
        return mark + b"3\r\n" + b"".join(bulk(word) for word in words[:-1]) + words[-1]

    talk = Conversation().write(command(b"SUBSCRIBE", b"a", b"b"))
    talk.read(three(b"subscribe", b"a", b":1\r\n") + three(b"message", b"a", bulk(b"\0\r\n")))
    talk.read(three(b"subscribe", b"b", b":2\r\n"))
    talk.write(command(b"UNSUBSCRIBE") + command(b"PING"))
    talk.read(three(b"unsubscribe", b"a", b":1\r\n") + three(b"unsubscribe", b"b", b":0\r\n"))
    talk.read(b"+PONG\r\n")
    assert [each for each in whole(talk) if each[0] == "read"] == [
        reply(kind, "SUBSCRIBE", b"subscribe\na\n1", lengths="9:1:1"),
        ("read", "push", b"message\na\n\0\r\n", {"kind": kind, "lengths": "7:1:3"}),
        reply(kind, "SUBSCRIBE", b"subscribe\nb\n2", lengths="9:1:1"),
        reply(kind, "UNSUBSCRIBE", b"unsubscribe\na\n1", lengths="11:1:1"),
        reply(kind, "UNSUBSCRIBE", b"unsubscribe\nb\n0", lengths="11:1:1"),
        reply("simple", "PING", b"PONG"),
    ]


def test_a_list_that_looks_published() -> None:
    words = (b"message", b"x", b"y")
    talk = Conversation().write(command(b"LRANGE", b"l", b"0", b"-1")).read(command(*words))
    assert whole(talk)[1] == reply("array", "LRANGE", b"message\nx\ny", lengths="7:1:1")


def test_a_server_is_seen_from_its_side() -> None:
    talk = Conversation(role="server").read(command(b"GET", b"k")).write(b"$1\r\nv\r\n")
    assert [(each[0], each[1], each[2]) for each in whole(talk)] == [
        ("read", "command", b"GET k"),
        ("write", "reply", b"v"),
    ]


def test_in_the_middle_replies_are_paired_once_the_ends_take_turns() -> None:
    talk = Conversation(from_start=False)
    for number in range(5):
        talk.write(command(b"GET", b"k%d" % number)).read(bulk(b"v%d" % number))
    answers = [details.get("reply_to") for direction, _, _, details in whole(talk) if direction == "read"]
    assert answers == [None, None, None, "GET", "GET"]


def test_a_gap_within_a_string() -> None:
    """What comes behind it is not joined to what came before."""
    talk = Conversation().write(command(b"GET", b"k"))
    talk.move("read", b"$1000\r\n" + bytes(100), cut=800).read(bytes(100) + b"\r\n")
    talk.write(command(b"PING")).read(b"+PONG\r\n")
    records = found(talk)
    assert lacking(talk)[1:] == [
        ("reply", bytes(100), "lost 900"),
        ("command", b"PING", ""),
        ("reply", b"PONG", ""),
    ]
    assert records[1].size == 1000
    assert [record.details.get("reply_to") for record in records] == [None, "GET", None, "PING"]


@pytest.mark.parametrize("cut", [898, 899, 900, 901, 902])
def test_a_gap_to_the_end_of_a_string(cut: int) -> None:
    """The line's end behind it may be lost, too."""
    talk = Conversation().write(command(b"GET", b"k"))
    talk.move("read", b"$1000\r\n" + bytes(100), cut=cut)
    rest = (bytes(900) + b"\r\n")[cut:]
    if rest:
        talk.read(rest)
    talk.write(command(b"PING")).read(b"+PONG\r\n")
    assert lacking(talk)[1:] == [
        ("reply", bytes(100), "lost 900"),
        ("command", b"PING", ""),
        ("reply", b"PONG", ""),
    ]


def test_gaps_between_values() -> None:
    talk = Conversation().write(command(b"GET", b"k")).lose("read", 20)
    talk.read(b"tail of a value\r\n").write(command(b"GET", b"l"))
    talk.read(bulk(b"value"))
    assert lacking(talk) == [
        ("command", b"GET k", ""),
        ("reply", b"", "lost 20"),
        ("command", b"GET l", ""),
        ("reply", b"value", ""),
    ]
    assert undecoded(talk.decode([Redis()]), "read") == b"tail of a value\r\n"
    assert not any("reply_to" in message.details for message in found(talk))


def test_a_gap_in_commands() -> None:
    talk = Conversation().write(command(b"SET", b"k")[:-4]).lose("write", 50)
    talk.write(b"rest\r\n" + command(b"GET", b"l")).read(b"+OK\r\n" + bulk(b"v"))
    assert lacking(talk) == [
        ("command", b"SET", "lost 50"),
        ("command", b"GET l", ""),
        ("reply", b"OK", ""),
        ("reply", b"v", ""),
    ]
    assert undecoded(talk.decode([Redis()]), "write") == b"rest\r\n"


def test_what_is_not_resp_is_shown_undecoded() -> None:
    talk = Conversation().write(command(b"PING")).read(b"+PONG\r\n$5\r\nabcdefgh\r\n")
    talk.write(command(b"PING")).read(b"+PONG\r\n")
    assert lacking(talk) == [
        ("command", b"PING", ""),
        ("reply", b"PONG", ""),
        ("reply", b"abcde", "not decodable None"),
        ("command", b"PING", ""),
        ("reply", b"PONG", ""),
    ]
    assert undecoded(talk.decode([Redis()]), "read") == b"fgh\r\n"


def test_what_is_unfinished() -> None:
    talk = Conversation().write(command(b"GET", b"k")).read(b"$10\r\nabc").close()
    assert lacking(talk)[1:] == [("reply", b"abc", "unfinished None")]
    talk = Conversation().write(command(b"GET", b"k")).read(b"+abc").close()
    assert lacking(talk)[1:] == [("reply", b"abc", "unfinished None")]


def test_limits() -> None:
    talk = Conversation().write(command(b"GET", b"k")).read(bulk(bytes(1000)) + b"+OK\r\n")
    [_, big, small] = found(talk, Limits(body=100))
    assert (big.payload, big.size, small.payload) == (bytes(100), 1000, b"OK")
    [missing] = big.missing
    assert (missing.reason, missing.bytes) == ("over the limit", 900)


def test_many_parts() -> None:
    talk = Conversation().write(command(b"KEYS", b"*")).read(b"*2000\r\n" + b":1\r\n" * 2000)
    [_, keys] = found(talk)
    assert keys.payload == b"\n".join([b"1"] * 2000)
    assert (keys.details["parts"], keys.details["lengths"]) == (2000, ":".join("1" * 1000))
