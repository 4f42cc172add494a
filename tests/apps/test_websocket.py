"""WebSocket: client and server of the `websockets` package, both followed, with compression and without."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pydantic import JsonValue
from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.ends import plain_environment
from tests.support.fixtures import RunTlstap
from tests.support.messages import Shown, message_events, seen_by_peer, shown
from tests.support.traffic import connections, http_events, losses
from tests.support.websocket import run_echo_server

CLIENT = """
import os, ssl, sys
from websockets.sync.client import connect
authority, compression = sys.argv[1], sys.argv[2] or None
context = ssl.create_default_context(cafile=authority)
print("ready", os.getpid(), flush=True)
url = input()
settings = {"compression": compression, "proxy": None, "ping_interval": None}
with connect(url, ssl=context, user_agent_header="tests", **settings) as socket:
    for message in ("text: \\u00fc", bytes(range(256)) * 300, "", "again " * 1000):
        socket.send(message)
        assert socket.recv() == message
    socket.send(["in ", "three ", "parts"])
    assert socket.recv() == "in three parts"
    socket.ping(b"are you there?").wait()
    socket.close(4001, "done: \\u00fc")
"""


@pytest.mark.parametrize("compression", ["", "deflate"])
def test_both_ends(
    tlstap_all_formats: RunTlstap, certificates: Certificates, tmp_path: Path, compression: str
) -> None:
    command: list[str | Path] = [sys.executable, "-c", CLIENT, certificates.authority, compression]
    client = c_programs.start(command, plain_environment(tmp_path))
    with (
        run_echo_server(certificates, compression or None) as port,
        tlstap_all_formats("-p", client.pid, "-p", os.getpid()) as tracer,
    ):
        client.say(f"wss://127.0.0.1:{port}/talk?number=1")
        assert client.finish() == []
    assert losses(tracer.events) == []
    found = connections(tracer.events)
    [at_client] = [end for end in found if end.process.pid == client.pid]
    [at_server] = [end for end in found if end.ports == at_client.ports[::-1]]
    details: dict[str, JsonValue] = {"compressed": True} if compression else {}
    sent = [
        ("text", "text: \u00fc".encode()),
        ("binary", bytes(range(256)) * 300),
        ("text", b""),
        ("text", b"again " * 1000),
        ("text", b"in three parts"),
    ]
    expected = [
        Shown(direction, kind, content, details) for kind, content in sent for direction in ("write", "read")
    ]
    expected += [Shown("write", "ping", b"are you there?"), Shown("read", "pong", b"are you there?")]
    closing: dict[str, JsonValue] = {"code": 4001, "reason": "done: \u00fc"}
    closed = "done: \u00fc".encode()
    expected += [Shown("write", "close", closed, closing), Shown("read", "close", closed, closing)]

    assert len(found) == 2
    for end, messages in ((at_client, expected), (at_server, seen_by_peer(expected))):
        [upgrade] = http_events(tracer.events, end)
        assert upgrade.complete
        assert upgrade.request is not None
        assert upgrade.response is not None
        assert (upgrade.request.method, upgrade.request.target) == ("GET", "/talk?number=1")
        assert (upgrade.response.status, upgrade.response.content) == (101, b"")
        events = message_events(tracer.events, "websocket", end)
        # Which of two threads' calls ends first is open; in each direction the order is that of the wire.
        for direction in ("write", "read"):
            assert shown(events, direction) == [each for each in messages if each.direction == direction]
        assert {(event.stream_id, event.method, event.target) for event in events} == {
            (None, "GET", "/talk?number=1")
        }
