"""Bodies as text, for people and in the schema."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlstap.protocols.http.charset import encode_body, text


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"plain", None, "plain"),
        ("grüß".encode(), "text/html", "grüß"),
        ("grüß".encode("latin-1"), "text/html; charset=iso-8859-1", "grüß"),
        ("grüß".encode("utf-16"), 'text/html; Charset="UTF-16"', "grüß"),
        ("grüß".encode("latin-1"), "text/html", None),
        ("grüß".encode(), "text/html; charset=no-such-thing", "grüß"),
        (b"\x00\x01\x02", "text/plain; charset=utf-8", None),
        (b"\x89PNG\r\n", "image/png", None),
        (b"\x1b[31mred\tand\nmore", None, "\x1b[31mred\tand\nmore"),
        (b"", None, ""),
    ],
)
def test_text(body: bytes, content_type: str | None, expected: str | None) -> None:
    assert text(body, content_type) == expected


def test_cut_in_the_middle_of_a_character() -> None:
    body = "größer €".encode()
    assert text(body[:-1], None) is None
    assert text(body[:-1], None, cut=True) == "größer "
    assert text("漢字".encode("shift_jis")[:-1], "text/plain; charset=shift_jis", cut=True) == "漢"


@pytest.mark.parametrize("name", ["punycode", "zlib", "hex", "rot13", "idna", "unicode_escape"])
def test_codecs_that_are_no_charsets(name: str) -> None:
    """Some of Python's codecs are decompressors or take quadratic time."""
    body = b"a" * 300_000 + b"-" + b"b" * 300_000
    before = time.process_time()
    assert text(body, f"text/plain; charset={name}") == body.decode()
    assert time.process_time() - before < 1


def test_schema_keeps_the_bytes_whatever_the_charset() -> None:
    assert encode_body("é".encode()) == ("é", "utf-8")
    assert encode_body("é".encode("latin-1")) == (base64.b64encode(b"\xe9").decode(), "base64")
    assert encode_body("é".encode()[:1], cut=True) == ("", "utf-8")


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_schema_round_trip(body: bytes) -> None:
    value, encoding = encode_body(body)
    assert (value.encode() if encoding == "utf-8" else base64.b64decode(value)) == body
