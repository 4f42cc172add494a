"""HAR documents of real traffic, and of the worst that can be, as Chromium's developer tools read them."""

from __future__ import annotations

import base64
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import devtools, har
from tests.support.curl import curl_command
from tests.support.nginx import POSTED, UPLOADED, Nginx, page_files
from tests.support.samples import MS, NOW, connection, exchange, rendered, request, response
from tests.support.tracer import run_tlstap

from tlstap.records import Exchange, ExchangeEnded, Missing, ProtocolMessage, Record
from tlstap.sinks.har.sink import SINK

FORM = "name=J%C3%BCrgen+K&x=1"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[devtools.Page]:
    """Chromium's developer tools."""
    with devtools.page(tmp_path_factory.mktemp("devtools")) as page:
        yield page


def body(read: dict[str, Any]) -> bytes:
    """The content of a response."""
    return base64.b64decode(read["base64"]) if read["text"] is None else str(read["text"]).encode()


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_what_curl_fetched(tools: devtools.Page, nginx: Nginx, tmp_path: Path, version: str) -> None:
    posted, output = tmp_path / "posted", tmp_path / "x.har"
    posted.write_bytes(POSTED)
    port = nginx.http2_port
    files = page_files()
    urls = {nginx.url(f"/{name}", port=port): content for name, content in files.items()}
    upload = nginx.url("/upload", port=port)
    get = [part for url in urls for part in (url, "-o", "/dev/null")]
    with run_tlstap(output, "-c", "curl", output_format="har", has_events=False):
        for options in (
            get,
            ["--data-binary", f"@{posted}", "-H", "Content-Type: x/y", "-b", "a=1; b=2", upload],
            ["--data", FORM, f"{upload}?q=%C3%A9&r=", "--compressed"],
            [nginx.url("/text.txt", port=port), "--compressed", "-o", "/dev/null"],
        ):
            subprocess.run(curl_command(nginx, version, *options), check=True, stdout=subprocess.DEVNULL)
    document = output.read_text()
    log = har.load(document)
    # Nobody else's curl talks to this nginx.
    shown = [it for it in tools.read(document) if it["url"].startswith(nginx.url("/", port=port))]
    entries = [it for it in log["entries"] if it["request"]["url"].startswith(nginx.url("/", port=port))]

    assert len(shown) == len(entries) == len(urls) + 3
    by_url = {it["url"]: it for it in shown}
    for it in shown:
        assert (it["status"], it["protocol"]) == (200, "h2" if version == "--http2" else "http/1.1")
        assert it["reason"] == ("" if version == "--http2" else "OK")
        assert it["remote"] == f"127.0.0.1:{port}"
        assert it["finished"] is True
        assert it["seconds"] > 0
    for url, content in urls.items():
        assert (by_url[url]["method"], body(by_url[url])) == ("GET", content)
        assert by_url[url]["size"] == by_url[url]["transferred"] == len(content)
        assert by_url[url]["form"] is None
    assert by_url[nginx.url("/image.png", port=port)]["type"] == "image"
    assert by_url[nginx.url("/style.css", port=port)]["type"] == "stylesheet"

    binary, form = by_url[upload], by_url[f"{upload}?q=%C3%A9&r="]
    assert (binary["method"], body(binary)) == ("POST", UPLOADED)
    assert base64.b64decode(binary["form"]) == POSTED
    assert binary["requestCookies"] == [["a", "1"], ["b", "2"]]
    assert (form["form"], form["query"]) == (FORM, [["q", "%C3%A9"], ["r", ""]])
    [text] = [it for it in shown if it["url"].endswith("/text.txt")]
    assert body(text) == text_file(nginx)
    assert text["size"] == len(text_file(nginx)) > text["transferred"] > 0
    assert len({it["connection"] for it in shown}) == 4, "curl was run four times"


def text_file(nginx: Nginx) -> bytes:
    """/text.txt, as curl has it."""
    command = curl_command(nginx, nginx.url("/text.txt"))
    return subprocess.run(command, check=True, capture_output=True).stdout.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_trace_that_ends_within_an_exchange(
    tools: devtools.Page, nginx: Nginx, tmp_path: Path, number: signal.Signals
) -> None:
    output = tmp_path / "x.har"
    context = ssl.create_default_context(cafile=nginx.certificates.authority)
    with (
        socket.create_connection(("127.0.0.1", nginx.port), timeout=60) as plain,
        run_tlstap(output, "-p", os.getpid(), output_format="har", has_events=False, stop=number),
    ):
        tls = context.wrap_socket(plain, server_hostname="localhost")
        tls.sendall(b"GET /json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert tls.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        # No answer comes before all of the body is there.
        tls.sendall(b"POST /upload?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
    tls.close()
    log = har.load(output.read_text())
    first, second = log["entries"]
    assert (first["request"]["url"], first["_complete"]) == ("https://localhost/json", True)
    assert (second["request"]["url"], second["_complete"]) == ("https://localhost/upload?a=b", False)
    assert second["request"]["postData"]["text"] == "12345"
    assert second["comment"] == "incomplete: 5 bytes of the request body unfinished; response not seen"
    found = [(it["url"], it["status"]) for it in tools.read(output.read_text())]
    assert found == [("https://localhost/json", 200), ("https://localhost/upload?a=b", 0)]


def said(
    of: Exchange, protocol: str, type_: str, payload: bytes, direction: Any, **more: Any
) -> ProtocolMessage:
    it = of.connection
    return ProtocolMessage(
        it, it.process, NOW + 30 * MS, direction, protocol, type_, payload, len(payload), exchange=of, **more
    )


def test_messages_are_shown_as_such(tools: devtools.Page) -> None:
    upgrade = [("Upgrade", "websocket")]
    chat = exchange(
        connection(),
        request=request(target="/chat", headers=upgrade),
        response=response(status=101, headers=upgrade, body=bytearray()),
    )
    stream = [("Content-Type", "text/event-stream; charset=utf-8")]
    news = exchange(
        connection(),
        request=request(start_ns=NOW + MS),
        response=response(headers=stream, body=bytearray(b"id: 7\ndata: hello\n\n")),
        body_format="sse",
    )
    events: list[Record] = [said(news, "sse", "message", b"hello", "read", details={"id": "7"})]
    records: list[Record] = [
        ExchangeEnded(chat, NOW + 21 * MS, True),
        said(chat, "websocket", "text", "grüß\n".encode(), "write"),
        said(chat, "websocket", "binary", b"\0\xff", "read"),
        *events,
        ExchangeEnded(news, NOW + 21 * MS, True),
    ]
    first, second = tools.read(rendered(SINK, records))
    at = 1767225600.153457
    assert (first["url"], first["type"], first["status"]) == ("wss://example.com/chat", "websocket", 101)
    assert first["frames"] == [["send", 1, "grüß\n", at], ["receive", 2, "AP8=", at]]
    assert (second["type"], second["events"]) == ("eventsource", [["message", "7", "hello", at]])
    # Without them the tools read the body themselves.
    [alone] = tools.read(rendered(SINK, records, kinds=frozenset({"http"})))[1:]
    assert [event[:3] for event in alone["events"]] == [["message", "7", "hello"]]


def hostile() -> list[Exchange]:
    """Exchanges of which each alone would spoil a document that was made carelessly."""
    odd = "\0\x1b[2J\x7f\x85\u2028\u202e\ud800\U0010ffff</script>"
    of = connection(sni=odd)
    lost = [Missing("response", "lost", 1 << 70)]
    cookies = [("Cookie", f"{odd}={odd}"), ("Content-Type", odd)]
    answers = [("Set-Cookie", f"a={odd}; Expires=Wed, 99 Feb 0000 99:99:99 GMT; Max-Age={'9' * 400}")]
    answers += [("Content-Type", f"text/html; charset={odd}"), ("Location", odd)]
    return [
        exchange(of, request=request(target=odd, authority=odd, scheme=odd, method=odd, headers=cookies)),
        exchange(of, response=response(status=-1, reason=odd, headers=answers)),
        exchange(connection(sni=None, remote=None, local=None, role=None)),
        exchange(of, request=request(authority="[::1", target="//x:99999/%"), reset=odd),
        exchange(of, request=request(authority="999.999.999.999:99999", target="/")),
        exchange(of, request=request(start_ns=1 << 70, end_ns=1), response=response(start_ns=5, end_ns=-7)),
        exchange(
            of,
            request=request(body=bytearray(range(256)) * 9),
            missing=lost,
        ),
        exchange(of, request=request(method=None, scheme=None, authority=None, target=None), stream_id=1),
        exchange(of, request=request(headers=[("x", "y" * 60_000)] * 20, target="/" + "%" * 60_000)),
        exchange(of, response=response(headers=[("", "")], body=bytearray("\ufeffé\u2029".encode()))),
    ]


def test_the_worst_is_read(tools: devtools.Page) -> None:
    them = hostile()
    document = rendered(SINK, [ExchangeEnded(it, NOW, False) for it in them])
    entries = har.load(document)["entries"]
    read = tools.read(document)
    assert len(read) == len(entries) == len(them)
    by_start = sorted(entries, key=lambda entry: str(entry["startedDateTime"]))
    assert [it["url"] for it in read] == [entry["request"]["url"] for entry in by_start]
    assert [it["status"] for it in read] == [entry["response"]["status"] for entry in by_start]
    for it, entry in zip(read, by_start, strict=True):
        sent = [(header["name"], header["value"]) for header in entry["request"]["headers"]]
        assert [tuple(pair) for pair in it["requestHeaders"]] == sent
        assert body(it) == _content(entry)


def _content(entry: dict[str, Any]) -> bytes:
    content = entry["response"]["content"]
    text = str(content.get("text", ""))
    return base64.b64decode(text) if "encoding" in content else text.encode()
