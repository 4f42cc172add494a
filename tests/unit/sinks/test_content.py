"""Bodies as lines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlstap.sinks.base import OutputOptions
from tlstap.sinks.content import content_lines

DEFAULT = OutputOptions()


def shown(data: bytes, options: OutputOptions = DEFAULT, content_type: str = "") -> list[str]:
    return ["".join(text for _, text in line) for line in content_lines(data, options, content_type)]


def limited(limit: int) -> OutputOptions:
    return replace(DEFAULT, max_body=limit, max_binary=limit)


def test_nothing_is_nothing() -> None:
    assert shown(b"") == []


def test_text_is_shown_line_by_line() -> None:
    assert shown("zwölf\r\n\tBoxkämpfer\n".encode()) == ["zwölf", "    Boxkämpfer"]


def test_long_text_is_cut_between_characters_and_says_so() -> None:
    note = "2 bytes left out; --max-body all shows everything"
    assert shown("abcä".encode(), limited(4)) == ["abc", f"[{note}]"]
    assert shown(b"abcd", limited(4)) == ["abcd"]
    assert shown(b"abcde", limited(4)) == ["abcd", "[1 byte left out; --max-body all shows everything]"]


def test_a_limit_of_zero_shows_no_body() -> None:
    note = "5,000 bytes left out; --max-body all shows everything"
    assert shown(b"x" * 5000, limited(0)) == [f"[{note}]"]
    assert shown(b'{"a":' + b"1" * 4994 + b"}", limited(0)) == [f"[{note}]"]
    assert shown(bytes(5000), limited(0)) == ["[binary, 5,000 bytes]", f"[{note}]"]


def test_no_limit_shows_everything() -> None:
    options = replace(DEFAULT, max_body=None, max_binary=None)
    assert shown(b"x" * 100_000, options) == ["x" * 100_000]
    assert len(shown(bytes(100_000), options)) == 1 + 6250


def test_binary_is_a_short_hex_dump_with_its_size() -> None:
    lines = shown(bytes(range(256)))
    assert lines[:2] == [
        "[binary, 256 bytes]",
        "000000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  ................",
    ]
    assert lines[8] == "000070  70 71 72 73 74 75 76 77  78 79 7a 7b 7c 7d 7e 7f  pqrstuvwxyz{|}~."
    assert lines[9:] == ["[128 bytes left out; --max-body all shows everything]"]


def test_a_short_row_of_a_hex_dump_is_aligned() -> None:
    assert shown(b"\0\x01\x02")[1] == "000000  00 01 02                                          ..."


def test_json_is_indented_and_keeps_what_was_sent() -> None:
    data = b'{"b":[1.50,1e3,-0],"b":{"x":null},"e":[],"f":{},"u":"\xc3\xa4\\u0041 , : {"}'
    assert shown(data) == [
        "{",
        '  "b": [',
        "    1.50,",
        "    1e3,",
        "    -0",
        "  ],",
        '  "b": {',
        '    "x": null',
        "  },",
        '  "e": [],',
        '  "f": {},',
        '  "u": "ä\\u0041 , : {"',
        "}",
    ]


def test_json_that_is_cut_says_how_much() -> None:
    assert shown(b'{"a":"0123456789","b":2}', limited(10)) == [
        "{",
        '  "a": "0123',
        "[14 bytes left out; --max-body all shows everything]",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"{not json}",
        b'{"a":1',
        b"[" * 1000 + b"]" * 1000,
        b"[" * 30 + b"]" * 30,
        b"[" + b"1," * 40_000 + b"1]",
    ],
    ids=["invalid", "unfinished", "very deep", "deep", "large"],
)
def test_json_that_is_none_deep_or_large_stays_text(data: bytes) -> None:
    assert shown(data, replace(DEFAULT, max_body=None)) == [data.decode()]


def test_control_characters_inside_json_are_escaped() -> None:
    assert shown('{"a\u202e":"\x9b1m"}'.encode()) == ["{", '  "a\\u202e": "\\x9b1m"', "}"]


def test_text_of_a_declared_charset_is_text() -> None:
    assert shown(b"caf\xe9", content_type="text/html; charset=ISO-8859-1") == ["café"]
    assert shown(b"caf\xe9\xff\xfe")[0] == "[binary, 6 bytes]"


def test_a_piece_of_a_stream_may_cut_characters_in_two() -> None:
    whole = "äbä".encode()
    assert shown(whole[1:-1]) == ["\\xa4b\\xc3"]


@given(st.binary(max_size=400), st.integers(0, 300))
def test_what_is_shown_stays_within_the_limit(data: bytes, limit: int) -> None:
    lines = shown(data, limited(limit))
    for line in lines:
        assert line.isprintable()
    notes = [line for line in lines if line.endswith("left out; --max-body all shows everything]")]
    assert bool(notes) == (len(data) > limit)
