"""Lines fit the terminal."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tlstap.sinks.escape import escape
from tlstap.sinks.layout import STYLES, Layout

SGR = re.compile(r"\x1b\[[0-9;]*m")


def test_a_pipe_is_not_wrapped() -> None:
    assert Layout(False, None).line([("", "x" * 500)]) == f"    {'x' * 500}\n"


def test_a_terminal_is_wrapped_with_an_indentation() -> None:
    assert Layout(False, 20).line([("name", "header"), ("", ": " + "v" * 20)], 0) == (
        "header: vvvvvvvvvvvv\n    vvvvvvvv\n"
    )


def test_text_is_broken_behind_a_space() -> None:
    assert Layout(False, 20).line([("", "some words that are longer")], 0) == (
        "some words that are \n    longer\n"
    )


def test_words_are_not_torn() -> None:
    words = [[("", "one")], [("", "two three")], [("", "four")]]
    assert Layout(False, 14).words(words) == "one two three\n    four\n"


def test_an_empty_line_has_no_spaces() -> None:
    assert Layout(True, 80).line([]) == "\n"


def test_without_colour_there_are_no_codes() -> None:
    for style in STYLES:
        assert Layout(False, 80).line([(style, "x")], 0) == "x\n"
        assert Layout(True, 80).line([(style, "x")], 0) != "x\n"


@given(st.text(st.characters()), st.integers(20, 100), st.integers(0, 4))
def test_no_row_is_wider_than_the_terminal_and_nothing_is_lost(text: str, width: int, indent: int) -> None:
    safe = escape(text)
    rows = Layout(True, width).line([("name", safe[:5]), ("", safe[5:])], indent).split("\n")[:-1]
    plain = [SGR.sub("", row) for row in rows]
    assert all(cell_len(row) <= width for row in plain)
    # Rows carry the text itself behind their indentation.
    assert plain[0][indent if safe else 0 :] + "".join([row[4:] for row in plain[1:]]) == safe
