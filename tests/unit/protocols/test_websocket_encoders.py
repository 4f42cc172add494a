"""WebSockets as wsproto and the websockets package speak them, from the handshake on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import wsproto
import wsproto.events
from tests.unit.protocols.conversation import Conversation, exchanges, run
from tests.unit.protocols.websocket_talk import summaries, undecoded
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol as Peer
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from wsproto.extensions import PerMessageDeflate

from tlstap.protocols.http1.decoder import Http1
from tlstap.protocols.websocket.decoder import WebSocket
from tlstap.records import DecodedRecord, HeadSeen, MessageEnded, ProtocolMessage

SIDES = ("read", "write")
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"]


@dataclass
class Told:
    """A conversation, and what the ends said to each other."""

    talk: Conversation = field(default_factory=Conversation)
    said: list[str] = field(default_factory=list)


def websockets_pair(
    offer: ClientPerMessageDeflateFactory | None, accept: ServerPerMessageDeflateFactory | None
) -> tuple[Told, ClientProtocol, ServerProtocol, Callable[[], None]]:
    """Both ends after their handshake, and what moves their data."""
    told = Told()
    client = ClientProtocol(parse_uri("wss://h/chat"), extensions=[offer] if offer else None)
    server = ServerProtocol(extensions=[accept] if accept else None)

    def move() -> None:
        sent = b"".join(client.data_to_send())
        if sent:
            told.talk.write(sent)
            server.receive_data(sent)
        answer = b"".join(server.data_to_send())
        if answer:
            told.talk.read(answer)
            client.receive_data(answer)

    client.send_request(client.connect())
    move()
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    move()
    client.events_received()
    assert client.state.name == server.state.name == "OPEN"
    return told, client, server, move


def speak(told: Told, sender: Peer, direction: str, compressed: str, generator: random.Random) -> None:
    """One message, of a kind that chance decides; perhaps in fragments, with a ping between them."""
    text = " ".join(generator.choices(WORDS, k=generator.choice([0, 1, 5, 40, 300, 20000]))).encode()
    binary = generator.randbytes(generator.choice([0, 1, 125, 126, 1000, 70000]))
    match generator.choice(["text", "binary", "ping", "pong", "fragments"]):
        case "text":
            sender.send_text(text)
            told.said.append(f"{direction} text {text!r}{compressed}")
        case "binary":
            sender.send_binary(binary)
            told.said.append(f"{direction} binary {binary!r}{compressed}")
        case "ping":
            sender.send_ping(binary[:125])
            told.said.append(f"{direction} ping {binary[:125]!r}")
        case "pong":
            sender.send_pong(binary[:125])
            told.said.append(f"{direction} pong {binary[:125]!r}")
        case "fragments":
            sender.send_text(text[:7], fin=False)
            sender.send_continuation(text[7:9], fin=False)
            sender.send_ping(b"between")
            sender.send_continuation(text[9:], fin=True)
            told.said.append(f"{direction} ping b'between'")
            told.said.append(f"{direction} text {text!r}{compressed}")


def pings(receiver: Peer) -> list[bytes]:
    """The payloads of the pings that came; they have been answered."""
    frames = [event for event in receiver.events_received() if isinstance(event, Frame)]
    return [bytes(frame.data) for frame in frames if frame.opcode is Opcode.PING]


DEFLATE = {
    "plain": (None, None),
    "compressed": (ClientPerMessageDeflateFactory(), ServerPerMessageDeflateFactory()),
    "no takeover": (
        ClientPerMessageDeflateFactory(True, True),
        ServerPerMessageDeflateFactory(True, True),
    ),
    "one without takeover, small windows": (
        ClientPerMessageDeflateFactory(client_max_window_bits=9, server_max_window_bits=10),
        ServerPerMessageDeflateFactory(True, False, 10, 9),
    ),
}


@pytest.mark.parametrize(("offer", "accept"), DEFLATE.values(), ids=DEFLATE)
def test_what_websockets_sends(
    offer: ClientPerMessageDeflateFactory | None, accept: ServerPerMessageDeflateFactory | None
) -> None:
    told, client, server, move = websockets_pair(offer, accept)
    compressed = " compressed=True" if offer else ""
    generator = random.Random(6455)
    for _ in range(60):
        speak(told, client, "write", compressed, generator)
        move()
        # Pings are answered by the ends themselves.
        told.said += [f"read pong {ping!r}" for ping in pings(server)]
        speak(told, server, "read", compressed, generator)
        move()
        move()
        told.said += [f"write pong {ping!r}" for ping in pings(client)]
    server.send_close(1001, "going away")
    move()
    told.said += ["read close b'going away' code=1001 reason='going away'"]
    told.said += ["write close b'going away' code=1001 reason='going away'"]
    move()
    out = decoded(told)
    in_order = {direction: [line for line in told.said if line.startswith(direction)] for direction in SIDES}
    assert {side: [line for line in summaries(out) if line.startswith(side)] for side in SIDES} == in_order
    assert undecoded(out, "read") == undecoded(out, "write") == []
    (exchange,) = exchanges(out)
    assert exchange.response is not None and exchange.response.status == 101
    assert {id(record.exchange) for record in out if isinstance(record, ProtocolMessage)} == {id(exchange)}


def decoded(told: Told) -> list[DecodedRecord]:
    """What is decoded of the conversation, without progress."""
    out = run(told.talk.close().records, protocols=[Http1(), WebSocket()])
    return [r for r in out if isinstance(r, DecodedRecord) and not isinstance(r, HeadSeen | MessageEnded)]


@pytest.mark.parametrize("deflate", [False, True])
def test_what_wsproto_sends(deflate: bool) -> None:
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    server = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    told = Told()
    extensions = [PerMessageDeflate()] if deflate else []
    hello = client.send(wsproto.events.Request("h", "/chat", extensions=list(extensions)))
    told.talk.write(hello)
    server.receive_data(hello)
    list(server.events())
    accept = server.send(wsproto.events.AcceptConnection(extensions=[PerMessageDeflate()] if deflate else []))
    told.talk.read(accept)
    client.receive_data(accept)
    list(client.events())
    expected = []
    for number in range(30):
        words = " ".join(WORDS[: number % 9]) * 5
        one = wsproto.events.TextMessage(words[:11], message_finished=False)
        two = wsproto.events.TextMessage(words[11:], message_finished=True)
        told.talk.write(client.send(one)).write(client.send(two))
        told.talk.read(server.send(wsproto.events.BytesMessage(words.encode() * number)))
        told.talk.read(server.send(wsproto.events.Ping(b"%d" % number)))
        compressed = " compressed=True" if deflate else ""
        expected.append(f"write text {words.encode()!r}{compressed}")
        expected.append(f"read binary {words.encode() * number!r}{compressed}")
        expected.append(f"read ping b'{number}'")
    told.talk.write(client.send(wsproto.events.CloseConnection(1000, "done")))
    expected.append("write close b'done' code=1000 reason='done'")
    out = decoded(told)
    assert summaries(out) == expected
    assert undecoded(out, "read") == undecoded(out, "write") == []


def test_the_first_messages_come_with_the_response() -> None:
    told, _, server, _ = websockets_pair(None, None)
    server.send_text(b"hello")
    head = told.talk.records[-1]
    assert head.payload.startswith(b"HTTP/1.1 101")  # type: ignore[union-attr]
    head.payload += b"".join(server.data_to_send())  # type: ignore[union-attr]
    head.length = len(head.payload)  # type: ignore[union-attr]
    told.talk.offsets["read"] = head.length  # type: ignore[union-attr]
    assert summaries(decoded(told)) == ["read text b'hello'"]
