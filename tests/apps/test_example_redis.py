"""examples/tlstap-redis, installed beside this tlstap: redis-cli and redis-server, both ends, to the byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import JsonValue
from tests.support import examples
from tests.support import programs as c_programs
from tests.support.all_formats import in_format
from tests.support.certificates import Certificates
from tests.support.ends import plain_environment, start_waiting
from tests.support.examples import Example
from tests.support.fixtures import RunTlstap
from tests.support.messages import Shown, message_events, seen_by_peer, shown
from tests.support.redis import RedisServer, run_redis
from tests.support.tracer import Tracer
from tests.support.traffic import Traced, connections, losses, with_ports
from tests.support.wait import wait_until

BINARY = b"\0\xff \r\n*1\r\n$4\r\nPING\r\n"
QUOTED = '"' + "".join(f"\\x{byte:02x}" for byte in BINARY) + '"'
BIG = hashlib.shake_256(b"tlstap, redis").hexdigest(500_000)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return examples.install("tlstap-redis", tmp_path_factory.mktemp("example"))


@pytest.fixture(autouse=True)
def installed(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every tlstap that a test runs."""
    monkeypatch.setenv("PYTHONPATH", example.environment["PYTHONPATH"])


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RedisServer]:
    with run_redis(tmp_path_factory.mktemp("redis"), certificates) as server:
        yield server


@dataclass(frozen=True)
class Client:
    """redis-cli, which waits for the word to go. What it prints may be any bytes, so it goes to a file."""

    running: c_programs.Running
    output: Path

    @property
    def pid(self) -> int:
        return self.running.pid

    @property
    def printed(self) -> bytes:
        """What it has printed up to now."""
        return self.output.read_bytes()

    def talk(self, *lines: str) -> bytes:
        """Give the word to go, then its standard input; what it has printed when it ended."""
        self.running.process.communicate("\n".join(("go", *lines)), timeout=60)
        assert self.running.process.returncode == 0
        return self.printed


StartClient = Callable[..., Client]


@pytest.fixture
def client(redis: RedisServer, tmp_path: Path) -> Iterator[StartClient]:
    """Starts a client with arguments of its own."""
    started: list[Client] = []

    def start(*arguments: str) -> Client:
        output = tmp_path / f"printed-{len(started)}"
        output.touch()
        shell: list[str | Path] = ["sh", "-c", 'output=$1; shift; exec "$@" >"$output"', "sh", output]
        running = start_waiting([*shell, *redis.cli, *arguments], plain_environment(tmp_path))
        started.append(Client(running, output))
        return started[-1]

    yield start
    for each in started:
        each.running.process.kill()
        each.running.process.communicate()


def command(*words: bytes) -> Shown:
    details: dict[str, JsonValue] = {"command": words[0].upper().decode()}
    return Shown("write", "command", b" ".join(words), details | lengths(words if len(words) > 1 else ()))


def lengths(parts: tuple[bytes, ...]) -> dict[str, JsonValue]:
    return {"lengths": ":".join(str(len(part)) for part in parts)} if parts else {}


def reply(kind: str, answers: str, *parts: bytes, type_: str = "reply") -> Shown:
    details: dict[str, JsonValue] = {"kind": kind, "reply_to": answers}
    return Shown("read", type_, b"\n".join(parts), details | lengths(parts if len(parts) > 1 else ()))


def check(tracer: Tracer, client: Traced, server: Traced, expected: list[Shown]) -> None:
    """Both ends show these messages and no others; the parts of a pipeline in each direction's order."""
    for end, messages in ((client, expected), (server, seen_by_peer(expected))):
        found = message_events(tracer.events, "redis", end)
        for direction in ("read", "write"):
            own = [each for each in messages if each.direction == direction]
            assert shown(found, direction) == own
        assert len(found) == len(messages)


def ends(tracer: Tracer, redis: RedisServer, pid: int) -> tuple[Traced, Traced]:
    """A client's one connection, as it sees it, and as the server does."""
    assert losses(tracer.events) == []
    found = connections(tracer.events)
    [client] = [traced for traced in found if traced.process.pid == pid]
    assert client.ports[0] is not None
    server = with_ports(found, redis.port, client.ports[0])
    assert (client.process.comm, server.process.pid) == ("redis-cli", redis.pid)
    return client, server


def opening(tracer: Tracer, client: Traced, *commands: Shown) -> list[Shown]:
    """What redis-cli asks first, and the answers, which say much about the server."""
    found = message_events(tracer.events, "redis", client)
    answers = shown(found, "read")[: len(commands)]
    assert [each.details["reply_to"] for each in answers] == [each.details["command"] for each in commands]
    assert all(each.content for each in answers)
    return [*commands, *answers]


DOCS = command(b"COMMAND", b"DOCS")
"""Before what is typed, redis-cli asks for help texts."""


def test_its_own_tests(example: Example) -> None:
    assert " passed in " in example.run_own_tests()


def test_listed_with_its_distribution(example: Example) -> None:
    listed = {plugin["name"]: plugin for plugin in json.loads(example.plugins("--json"))["plugins"]}
    assert listed["redis"]["distribution"] == "tlstap-redis"
    assert listed["redis"]["protocols"] == ["redis"]


@pytest.mark.parametrize("resp", ["-2", "-3"])
def test_commands(tlstap_all_formats: RunTlstap, redis: RedisServer, client: StartClient, resp: str) -> None:
    """Binary content, an error, a transaction, replies of several parts; in RESP2 and RESP3."""
    cli = client(resp)
    with tlstap_all_formats("-p", cli.pid, "-p", redis.pid) as tracer:
        printed = cli.talk(
            f"set bin{resp} {QUOTED}",
            f"get bin{resp}",
            "get none",
            "renme a b",
            "multi",
            "ping",
            "exec",
            f"hset hash{resp} field {QUOTED}",
            f"hgetall hash{resp}",
        )
    assert printed.startswith(b"OK\n" + BINARY + b"\n")
    key, name = b"bin" + resp.encode(), b"hash" + resp.encode()
    error = b"ERR unknown command 'renme', with args beginning with: 'a' 'b' "
    expected = [
        command(b"set", key, BINARY),
        reply("simple", "SET", b"OK"),
        command(b"get", key),
        reply("bulk", "GET", BINARY),
        command(b"get", b"none"),
        reply("null", "GET", b""),
        command(b"renme", b"a", b"b"),
        reply("error", "RENME", error, type_="error"),
        command(b"multi"),
        reply("simple", "MULTI", b"OK"),
        command(b"ping"),
        reply("simple", "PING", b"QUEUED"),
        command(b"exec"),
        reply("array", "EXEC", b"PONG"),
        command(b"hset", name, b"field", BINARY),
        reply("integer", "HSET", b"1"),
        command(b"hgetall", name),
        reply("map" if resp == "-3" else "array", "HGETALL", b"field", BINARY),
    ]
    at_client, at_server = ends(tracer, redis, cli.pid)
    hello = [command(b"HELLO", b"3")] if resp == "-3" else []
    expected = [*opening(tracer, at_client, *hello, DOCS), *expected]
    check(tracer, at_client, at_server, expected)
    text = in_format(tracer.output, "text").read_text()
    assert "redis error, " in text
    assert "kind=error, reply_to=RENME\n    ERR unknown command 'renme'" in text
    assert "redis command, 4 bytes, command=EXEC\n    exec\n" in text
    assert "redis reply, 6 bytes, kind=simple, reply_to=PING\n    QUEUED\n" in text


def test_a_value_of_a_megabyte(
    tlstap_all_formats: RunTlstap, redis: RedisServer, client: StartClient
) -> None:
    sender, receiver = client("-x", "SET", "big"), client("GET", "big")
    with tlstap_all_formats("-p", sender.pid, "-p", receiver.pid, "-p", redis.pid) as tracer:
        assert sender.talk(BIG) == b"OK\n"
        assert receiver.talk() == BIG.encode() + b"\n"
    big = BIG.encode()
    assert len(big) == 1_000_000
    check(
        tracer,
        *ends(tracer, redis, sender.pid),
        [command(b"SET", b"big", big), reply("simple", "SET", b"OK")],
    )
    check(tracer, *ends(tracer, redis, receiver.pid), [command(b"GET", b"big"), reply("bulk", "GET", big)])


def test_a_pipeline(tlstap_all_formats: RunTlstap, redis: RedisServer, client: StartClient) -> None:
    """redis-cli sends it as it is, and an ECHO at the end, to know when all is done."""
    count = 3000
    cli = client("--pipe")
    with tlstap_all_formats("-p", cli.pid, "-p", redis.pid) as tracer:
        words = [[b"SET", b"key%d" % number, b"value %d" % number] for number in range(count)]
        wire = b"".join(
            b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in each) for each in words
        )
        assert cli.talk(wire.decode()).endswith(b"\nerrors: 0, replies: %d\n" % count)
    at_client, at_server = ends(tracer, redis, cli.pid)
    echo = shown(message_events(tracer.events, "redis", at_client), "write")[-1]
    assert echo.details == {"command": "ECHO", "lengths": "4:20"}
    expected = [command(*each) for each in words] + [echo]
    expected += [reply("simple", "SET", b"OK")] * count
    expected += [reply("bulk", "ECHO", echo.content.removeprefix(b"ECHO "))]
    check(tracer, at_client, at_server, expected)


def test_publish_and_subscribe(
    tlstap_all_formats: RunTlstap, redis: RedisServer, client: StartClient
) -> None:
    subscriber, publisher = client("SUBSCRIBE", "news", "more"), client()
    with tlstap_all_formats("-p", subscriber.pid, "-p", publisher.pid, "-p", redis.pid) as tracer:
        subscriber.running.go()
        wait_until(lambda: subscriber.printed.endswith(b"more\n2\n"), "the subscription")
        assert publisher.talk(f"publish news {QUOTED}", "publish more end") == b"1\n1\n"
        wait_until(lambda: subscriber.printed.endswith(b"message\nmore\nend\n"), "what was published")
    pushed: list[tuple[bytes, ...]] = [(b"message", b"news", BINARY), (b"message", b"more", b"end")]
    check(
        tracer,
        *ends(tracer, redis, subscriber.pid),
        [
            command(b"SUBSCRIBE", b"news", b"more"),
            reply("array", "SUBSCRIBE", b"subscribe", b"news", b"1"),
            reply("array", "SUBSCRIBE", b"subscribe", b"more", b"2"),
            *(Shown("read", "push", b"\n".join(each), {"kind": "array", **lengths(each)}) for each in pushed),
        ],
    )
    at_publisher, at_server = ends(tracer, redis, publisher.pid)
    published = [
        *opening(tracer, at_publisher, DOCS),
        command(b"publish", b"news", BINARY),
        reply("integer", "PUBLISH", b"1"),
        command(b"publish", b"more", b"end"),
        reply("integer", "PUBLISH", b"1"),
    ]
    check(tracer, at_publisher, at_server, published)
