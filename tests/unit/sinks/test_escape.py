"""Nothing captured can act on a terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlstap.sinks.escape import escape, escape_bytes, escape_json, escape_lines

DANGEROUS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def harmless(text: str) -> bool:
    return not any(unicodedata.category(character) in DANGEROUS for character in text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 'quoted' \\ and [bold]marked up[/bold]", None),
        ("äöü 漢字 🎉 \u00a0", None),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb\tc\0", "a\\r\\nb\\tc\\x00"),
        ("\x7f\x80\x9b31m", "\\x7f\\x80\\x9b31m"),
        ("user\u202eexe.txt\u2066", "user\\u202eexe.txt\\u2066"),
        ("zero\u200bwidth\ufeff\xad", "zero\\u200bwidth\\ufeff\\xad"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("\udcff", "\\udcff"),
    ],
)
def test_escape_shows_what_a_terminal_would_act_on(text: str, shown: str | None) -> None:
    assert escape(text) == (text if shown is None else shown)


def test_bytes_that_are_not_utf8_are_shown_as_such() -> None:
    assert escape_bytes(b"caf\xc3\xa9 caf\xe9 \x1b") == "café caf\\xe9 \\x1b"


def test_lines_end_with_lf_or_crlf_and_tabs_become_spaces() -> None:
    assert list(escape_lines("a\r\n\tb\n\nc\rd\x0be\n")) == ["a", "    b", "", "c\\rd\\x0be"]
    assert list(escape_lines("ab\tc")) == ["ab  c"]
    assert list(escape_lines("no end")) == ["no end"]


@given(st.binary())
def test_no_bytes_yield_anything_dangerous(data: bytes) -> None:
    assert harmless(escape_bytes(data))
    assert all(harmless(line) for line in escape_lines(data.decode("latin-1")))


@given(st.text(st.characters()))
def test_no_text_yields_anything_dangerous(text: str) -> None:
    assert harmless(escape(text))
    assert all(harmless(line) for line in escape_lines(text))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_json_says_the_same(text: str) -> None:
    line = escape_json(json.dumps({text: [text]}, ensure_ascii=False))
    assert harmless(line)
    assert json.loads(line) == {text: [text]}
