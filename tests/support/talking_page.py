"""A page that talks: to two WebSocket servers, one of them its own by HTTP/2, and listens to events."""

from __future__ import annotations

from tests.support.http2_peer import Stream
from tests.support.websocket import echo

EVENTS = b"data: first\n\nid: 2\nevent: news\ndata: \xc3\xbcber\n\nevent: end\ndata: last\n\n"
TEXT = "text: \u00fc"
BINARY = bytes(place % 251 for place in range(70_000))
REASON = "done: \u00fc"
CODE = 4001

_PAGE = """<!doctype html>
<title>loading</title>
<link rel="icon" href="data:,">
<body>
<script>
const frame = document.body.appendChild(document.createElement("iframe"));
frame.contentDocument.open();
const binary = Uint8Array.from({length: 70000}, (_, place) => place % 251);
function talk(url) {
    return new Promise((resolve, reject) => {
        const socket = new WebSocket(url);
        const messages = ["text: \\u00fc", binary, "again ".repeat(1000)];
        const next = () => {
            if (messages.length) socket.send(messages.shift());
            else socket.close(4001, "done: \\u00fc");
        };
        socket.onopen = next;
        socket.onmessage = next;
        socket.onerror = reject;
        socket.onclose = event => resolve(`${event.code} ${event.wasClean}`);
    });
}
function listen(url) {
    return new Promise((resolve, reject) => {
        const source = new EventSource(url), heard = [];
        const hear = event => heard.push(event.data);
        source.onmessage = hear;
        source.onerror = reject;
        source.addEventListener("news", hear);
        source.addEventListener("end", event => { hear(event); source.close(); resolve(heard.join()); });
    });
}
async function all() {
    try {
        const own = await talk(`wss://${location.host}/talk`), other = await talk("OTHER");
        document.title = `${own}; ${other}; ${await listen("/events")}`;
    } catch (error) {
        document.title = `failed: ${error.type}`;
    }
    await fetch("/title", {method: "POST", body: document.title});
    frame.contentDocument.close();
}
all();
</script>
"""
TITLE = f"{CODE} true; {CODE} true; first,\u00fcber,last"
"""What becomes of it."""


class TalkingPage:
    """The handler of an HTTP/2 server that has the page at /page.html.

    `title` is what the page told.
    """

    def __init__(self, other: str) -> None:
        """:param other: URL of a WebSocket server."""
        self.title = ""
        self._page = _PAGE.replace("OTHER", other).encode()

    def __call__(self, stream: Stream) -> None:
        head = stream.head()
        match head[":path"]:
            case "/page.html":
                stream.answer(200, [("content-type", "text/html; charset=utf-8")], self._page)
            case "/talk":
                assert (head[":method"], head[":protocol"]) == ("CONNECT", "websocket")
                echo(stream, head)
            case "/events":
                stream.answer(200, [("content-type", "text/event-stream")], EVENTS)
            case "/title":
                self.title = stream.body().decode()
                stream.answer(204)
