"""What is Redis, and what only looks like it."""

from __future__ import annotations

import pytest
from tlstap_redis import Redis

from tlstap.testing import Conversation, messages, undecoded

GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
MESSAGE = b"3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n"


def types(talk: Conversation) -> list[str]:
    return [f"{message.protocol} {message.type}" for message in messages(talk.decode([Redis()]))]


@pytest.mark.parametrize("size", range(1, len(GET)))
def test_a_command_in_two_calls(size: int) -> None:
    talk = Conversation().write(GET[:size]).write(GET[size:])
    assert types(talk) == ["redis command"]


@pytest.mark.parametrize("mark", [b"*", b">"])
@pytest.mark.parametrize("from_start", [True, False])
def test_a_subscriber(mark: bytes, from_start: bool) -> None:
    """It may be silent for as long as tlstap runs."""
    talk = Conversation(from_start=from_start).read(mark + MESSAGE)
    assert types(talk) == ["redis push"]


def test_confirmations_are_the_servers() -> None:
    """They look like a command."""
    talk = Conversation(from_start=False).read(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
    assert types(talk) == []
    assert types(talk.read(b"*" + MESSAGE)) == ["redis push"]


def test_commands_of_modules() -> None:
    talk = Conversation().write(b"*2\r\n$8\r\nJSON.GET\r\n$1\r\nk\r\n")
    assert types(talk) == ["redis command"]


def test_the_client_is_the_one_that_the_handshake_says() -> None:
    talk = Conversation(role="server").write(GET)
    assert types(talk) == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"+OK POP3 ready\r\n",
        b"* OK IMAP4rev1 ready\r\n",
        b"*2\r\n",
        b"*2\r\n$4\r\nNONE\r\n$1\r\na\r\n",
        b"*2\r\n$3\r\nGETx\r\n$1\r\na\r\n",
        b"*0\r\n",
        b"*1\r\n$3\r\nG\0T\r\n",
        b"PING\r\n",
        b"QUIT\r\n",
        b"get key\r\n",
        b"EHLO example.org\r\n",
        b"$5\r\nhello\r\n",
        b">2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x82\x05hello",
    ],
)
def test_what_is_something_else(sent: bytes) -> None:
    talk = Conversation().write(sent).read(b"+OK\r\n")
    assert not any(kind.startswith("redis") for kind in types(talk))
    assert undecoded(talk.decode([Redis()]), "read") in (b"+OK\r\n", b"")


def test_a_connection_that_becomes_redis_late() -> None:
    talk = Conversation(from_start=False).read(b"xyz\r\n").write(GET).read(b"$1\r\nv\r\n")
    assert types(talk) == ["redis command", "redis reply"]
    assert undecoded(talk.decode([Redis()]), "read") == b"xyz\r\n"
