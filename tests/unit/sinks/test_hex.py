"""The hex format, to the letter."""

from __future__ import annotations

from textwrap import dedent

from tests.support.samples import NOW, connection, rendered, request, response, whole

from tlstap.records import Data, Lost, Opened
from tlstap.sinks import hex as hex_


def test_every_record_of_data_is_a_block() -> None:
    of = connection()
    records = [
        Opened(of, of.process, NOW, True),
        Data(of, of.process, NOW, "write", 0, 21, b"GET / HTTP/1.1\r\n\r\n\x1b[m", "SSL_write", 1000),
        Data(of, of.process, NOW, "read", 0x12345, 20000, b"ok", "SSL_read", 1000),
        *whole(of, request(), response()),
        Lost(of, of.process, NOW, 2, 300, "ring buffer full"),
    ]
    assert rendered(hex_.SINK, records) == dedent("""
        00:00:00.123 #3 curl[4242] openssl 3.0.15 SSL_write → 21 bytes at 0x0
            000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..
            000010  0d 0a 1b 5b 6d                                    ...[m
        00:00:00.123 #3 curl[4242] openssl 3.0.15 SSL_read ← 20,000 bytes at 0x12345
            012345  6f 6b                                             ok
            [19,998 bytes not captured]
        00:00:00.123 #3 ! 2 records lost, 300 bytes: ring buffer full
    """).lstrip("\n")


def test_rows_fit_80_columns_up_to_four_gigabytes() -> None:
    of = connection()
    record = Data(of, of.process, NOW, "read", 0xFFFFFF00, 16, bytes(16), "SSL_read", 1)
    assert max(len(line) for line in rendered(hex_.SINK, [record], width=80).splitlines()) == 80


def test_only_the_kinds_asked_for() -> None:
    of = connection()
    data = Data(of, of.process, NOW, "read", 0, 1, b"x", "SSL_read", 1)
    lost = Lost(None, None, NOW, 1, 1, "ring buffer full")
    only_lost = rendered(hex_.SINK, [data, lost], kinds=frozenset({"lost"}))
    assert only_lost == "00:00:00.123 ! 1 record lost, 1 byte: ring buffer full\n"
    assert "SSL_read ← 1 byte at 0x0" in rendered(hex_.SINK, [data, lost], kinds=frozenset({"data"}))
    assert "lost" not in rendered(hex_.SINK, [data, lost], kinds=frozenset({"data"}))
