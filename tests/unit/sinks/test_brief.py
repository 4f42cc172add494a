"""Sizes, times and addresses in few columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tlstap.sinks.words.brief import pad, shorten, size, span


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1234, "1.23 kB"),
        (9994, "9.99 kB"),
        (9996, "10.0 kB"),
        (45_678, "45.7 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1 << 30, "1.07 GB"),
        (5 * 10**12, "5.00 TB"),
        (10**19, "10,000 PB"),
    ],
)
def test_sizes(number: int, shown: str) -> None:
    assert size(number) == shown


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0.00 ms"),
        (123_456, "0.12 ms"),
        (21_000_000, "21.0 ms"),
        (999_400_000, "999 ms"),
        (999_600_000, "1.00 s"),
        (83_000_000_000, "83.0 s"),
        (5_000_000_000_000, "5,000 s"),
        (-3_000_000, "-3.00 ms"),
        (-3_000_000_000, "-3.00 s"),
    ],
)
def test_spans(nanoseconds: int, shown: str) -> None:
    assert span(nanoseconds) == shown


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("example.com/page", 16, "example.com/page"),
        ("example.com/page", 15, "example…om/page"),
        ("example.com/page", 10, "examp…page"),
        ("example.com/page", 1, "…"),
        ("例え.com/ページ", 15, "例え.com/ページ"),
        ("例え.com/ページ", 14, "例え.co…ページ"),
        ("例え.com/ページ", 9, "例え…ージ"),
    ],
)
def test_the_middle_is_left_out(text: str, columns: int, shown: str) -> None:
    assert shorten(text, columns) == shown


@given(st.text(max_size=40), st.integers(3, 50))
def test_what_is_short_fits(text: str, columns: int) -> None:
    assert cell_len(shorten(text, columns)) <= columns
    assert cell_len(shorten(text, columns, "...")) <= columns
    assert cell_len(pad(shorten(text, columns), columns)) == columns
