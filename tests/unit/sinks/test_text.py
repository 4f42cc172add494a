"""The text format, to the letter."""

from __future__ import annotations

import io
import re
from textwrap import dedent
from typing import Any

import pytest
from rich.cells import cell_len
from tests.support.samples import (
    MS,
    NOW,
    connection,
    exchange,
    library,
    process,
    rendered,
    request,
    response,
    whole,
)

from tlstap import schema
from tlstap.records import (
    Closed,
    Connection,
    Data,
    ExchangeEnded,
    Handshake,
    HeadSeen,
    Lost,
    Missing,
    Opened,
    Record,
    Undecoded,
)
from tlstap.sinks.base import OutputOptions
from tlstap.sinks.emit import Emitter
from tlstap.sinks.text import connections
from tlstap.sinks.text import sink as text
from tlstap.sinks.text.page import Page

SGR = re.compile(r"\x1b\[[0-9;]*m")


def show(*records: Record, **options: Any) -> str:
    return rendered(text.SINK, records, **options)


def expected(block: str) -> str:
    return dedent(block).lstrip("\n")


def session(of: Connection) -> list[Record]:
    """A connection from its beginning to its end."""
    return [
        Opened(of, of.process, NOW, True),
        Handshake(of, of.process, NOW + 12 * MS, 12_345_678, True),
        Data(of, of.process, NOW, "write", 0, 60, b"GET", "SSL_write", 1000),
        *whole(of, request(), response()),
        Closed(of, of.process, NOW + 30 * MS, 1234, 60, 0, 0),
    ]


def test_a_whole_connection() -> None:
    assert show(*session(connection())) == expected("""
        00:00:00.123 #3 curl[4242] openssl 3.0.15 10.0.0.2:51034 → 192.0.2.7:443 sni example.com
        00:00:00.135 #3 handshake TLSv1.3 TLS_AES_256_GCM_SHA384 alpn http/1.1 (12.3 ms)

        00:00:00.123 #3 → GET /index.html HTTP/1.1
            Host: example.com
            Accept: */*

        00:00:00.143 #3 ← HTTP/1.1 200 OK (20.0 ms)
            Content-Type: text/plain

            hello

        00:00:00.153 #3 closed: 60 bytes sent, 1,234 bytes received
    """)


def test_in_80_columns_lines_are_wrapped_and_nothing_else_changes() -> None:
    long = request(headers=[("Cookie", "c" * 100)])
    shown = show(*whole(connection(), long, response(body=bytearray("漢字".encode() * 30))), width=80)
    assert shown == expected(f"""
        00:00:00.123 #3 curl[4242] openssl 3.0.15 10.0.0.2:51034 → 192.0.2.7:443
            sni example.com
        00:00:00.123 #3 → GET /index.html HTTP/1.1
            Cookie: {"c" * 68}
            {"c" * 32}

        00:00:00.143 #3 ← HTTP/1.1 200 OK (20.0 ms)
            Content-Type: text/plain

            {"漢字" * 19}
            {"漢字" * 11}
    """)
    assert all(cell_len(line) <= 80 for line in shown.splitlines())


def test_colours_change_nothing_but_colours() -> None:
    records = session(connection())
    coloured = show(*records, color=True, width=80)
    assert SGR.sub("", coloured) == show(*records, width=80)
    assert "\x1b[1;36m→ \x1b[0m\x1b[1;35mGET\x1b[0m\x1b[1m /index.html\x1b[0m" in coloured
    assert "\x1b[1;32m← \x1b[0mHTTP/1.1 \x1b[1;32m200 OK\x1b[0m" in coloured
    assert "    \x1b[36mHost\x1b[0m: example.com\n" in coloured


def test_a_server_reads_requests_and_writes_responses() -> None:
    nginx = connection(process=process(comm="nginx", exe="/usr/sbin/nginx"), role="server", sni=None)
    it = exchange(nginx, request=request(), response=response())
    shown = show(HeadSeen(it, request(headers=[]), "read", NOW), HeadSeen(it, it.response, "write", NOW))
    assert shown.splitlines()[0].endswith("192.0.2.7:443 (server side)")
    assert shown.splitlines()[1] == "00:00:00.123 #3 ← GET /index.html HTTP/1.1"
    assert shown.splitlines()[3] == "00:00:00.123 #3 → HTTP/1.1 200 OK (20.0 ms)"


def test_connections_that_interleave_are_told_apart() -> None:
    one, two = connection(), connection(id=4, sni="other.example")
    records = [Undecoded(of, of.process, NOW, "write", 0, b"hi\n") for of in (one, two, one)]
    assert show(*records) == expected("""
        00:00:00.123 #3 curl[4242] openssl 3.0.15 10.0.0.2:51034 → 192.0.2.7:443 sni example.com
        00:00:00.123 #3 → 3 bytes
            hi

        00:00:00.123 #4 curl[4242] openssl 3.0.15 10.0.0.2:51034 → 192.0.2.7:443 sni other.example
        00:00:00.123 #4 → 3 bytes
            hi

        00:00:00.123 #3 → 3 bytes
            hi
    """)


def test_json_binary_trailers_and_limits() -> None:
    asked = request(method="POST", headers=[], body=bytearray(b'{"a":[1,true]}'))
    answered = response(headers=[], body=bytearray(b"\x89PNG" + bytes(20)), trailers=[("Checksum", "1f")])
    shown = show(*whole(connection(), asked, answered), max_binary=16)
    assert shown.split("\n", 1)[1] == expected("""
        00:00:00.123 #3 → POST /index.html HTTP/1.1

            {
              "a": [
                1,
                true
              ]
            }

        00:00:00.143 #3 ← HTTP/1.1 200 OK (20.0 ms)

            [binary, 24 bytes]
            000000  89 50 4e 47 00 00 00 00  00 00 00 00 00 00 00 00  .PNG............
            [8 bytes left out; --max-body all shows everything]

            Checksum: 1f
    """)


def test_an_incomplete_exchange_says_what_is_missing() -> None:
    it = exchange(connection(), request=request(headers=[]))
    it.missing = [Missing("request body", "lost", 1200), Missing("response", "not seen")]
    shown = show(HeadSeen(it, it.request, "write", NOW), ExchangeEnded(it, NOW + MS, False))
    assert shown.splitlines()[-1] == (
        "00:00:00.124 #3 ! GET /index.html incomplete: "
        "1,200 bytes of the request body lost; response not seen"
    )


def test_gaps_losses_and_cut_calls_are_shown() -> None:
    of = connection()
    shown = show(
        Undecoded(of, of.process, NOW, "read", 100, b"after\n", 99),
        Undecoded(of, of.process, NOW, "read", 107, b"", 1),
        Lost(of, of.process, NOW, 3, 4000, "ring buffer full"),
        Lost(None, None, NOW, 1, 1, "ring buffer full"),
        Closed(of, of.process, NOW, 207, 0, 100, 0),
    )
    assert shown.split("\n", 1)[1] == expected("""
        00:00:00.123 #3 ← 6 bytes
            [99 bytes lost]
            after

        00:00:00.123 #3 ← [1 byte lost]
        00:00:00.123 #3 ! 3 records lost, 4,000 bytes: ring buffer full
        00:00:00.123 ! 1 record lost, 1 byte: ring buffer full
        00:00:00.123 #3 closed: 0 bytes sent, 207 bytes received; of them lost: 0 bytes sent and 100 received
    """)


def test_the_line_of_a_connection_waits_for_its_address_and_is_completed_later() -> None:
    of = connection(local=None, remote=None, sni=None)
    stream = io.StringIO()
    emitter = Emitter(text.TextSink(stream, OutputOptions()), stream)
    emitter.write([Opened(of, of.process, NOW, False)])
    assert stream.getvalue() == ""
    emitter.write([Undecoded(of, of.process, NOW, "write", 0, b"x")])
    of.remote = schema.Endpoint(address="2001:db8::1", port=993)
    of.inferred = True
    emitter.write([Undecoded(of, of.process, NOW, "write", 1, b"y")] * 2)
    lines = [line for line in stream.getvalue().splitlines() if "→ 1 byte" not in line and line.strip()]
    assert lines == [
        "00:00:00.123 #3 curl[4242] openssl 3.0.15 address unknown (found open)",
        "    x",
        "00:00:00.123 #3 is ? → [2001:db8::1]:993 (address inferred, found open)",
        "    y",
        "    y",
    ]


def test_a_failed_handshake() -> None:
    of = connection(tls_version=None, cipher=None, alpn=None)
    shown = show(Handshake(of, of.process, NOW, 5 * MS, False))
    assert shown.splitlines()[1] == "00:00:00.123 #3 handshake failed (5.0 ms)"


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        (
            {"comm": "Socket Thread", "exe": "/usr/lib/firefox-esr/firefox-esr"},
            "firefox-esr[4242] (Socket Thread)",
        ),
        ({"comm": "python3", "exe": "/usr/bin/python3.11"}, "python3.11[4242]"),
        ({"comm": "worker", "exe": None}, "worker[4242]"),
        ({"container": "0123456789abcdef"}, "curl[4242] container 0123456789ab"),
    ],
)
def test_who(changes: dict[str, Any], who: str) -> None:
    of = connection(process=process(**changes), library=library(version=None))
    shown = show(Opened(of, of.process, NOW, True))
    assert shown == f"00:00:00.123 #3 {who} openssl 10.0.0.2:51034 → 192.0.2.7:443 sni example.com\n"


def test_only_the_kinds_asked_for() -> None:
    records = session(connection())

    def heads(*kinds: str) -> list[str]:
        lines = show(*records, kinds=frozenset(kinds)).splitlines()
        return [line[16:].split()[0] for line in lines if line.startswith("00:")]

    assert heads("open") == ["curl[4242]"]
    assert heads("http") == ["curl[4242]", "→", "←"]
    assert heads("handshake", "close") == ["curl[4242]", "handshake", "closed:"]
    assert heads("lost") == []
    assert "→ 60 bytes\n    GET\n    [57 bytes not captured]" in show(*records, kinds=frozenset({"data"}))


def test_a_stream_that_is_ascii_gets_ascii_arrows() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    emitter = Emitter(text.TextSink(stream, OutputOptions()), stream)
    emitter.write(session(connection()))
    emitter.close()
    lines = raw.getvalue().decode("ascii").splitlines()
    assert " 10.0.0.2:51034 -> 192.0.2.7:443 " in lines[0]
    assert "00:00:00.123 #3 -> GET /index.html HTTP/1.1" in lines
    assert "00:00:00.143 #3 <- HTTP/1.1 200 OK (20.0 ms)" in lines


def test_times_that_no_calendar_knows() -> None:
    of = connection()
    shown = show(
        Lost(None, None, 10**40, 1, 1, "x"),
        Lost(None, None, -1, 1, 1, "x"),
        Undecoded(of, of.process, 2**63, "read", 0, b"x"),
    )
    assert shown.splitlines()[0] == f"@{10**31}.000 ! 1 record lost, 1 byte: x"
    assert shown.splitlines()[1] == "23:59:59.999 ! 1 record lost, 1 byte: x"


def test_connections_are_forgotten_when_they_close_and_beyond_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    shown = connections.ConnectionText(Page(io.StringIO(), OutputOptions()), None)
    for number in range(5):
        of = connection(id=number)
        shown.opened(Opened(of, of.process, NOW, True))
    assert list(shown._known) == [3, 4]
    shown.closed(Closed(of, of.process, NOW, 0, 0, 0, 0))
    assert list(shown._known) == [3]
