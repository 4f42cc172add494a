"""The lines that a driver prints."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from tests.unit.conformance.ends import ASKED, end

from tlstap.conformance.observe import DRIVER_HEADER
from tlstap.conformance.scenarios import (
    PROTOCOL,
    SCENARIOS,
    DriverError,
    End,
    LeftOut,
    Stream,
    fnv1a64,
    parse,
)

LINE = (
    '{"role": "client", "read": {"bytes": 0, "fnv1a64": "cbf29ce484222325"}, '
    f'"written": {{"bytes": {len(ASKED)}, "fnv1a64": "{fnv1a64(ASKED)}"}}}}'
)


def test_the_hash() -> None:
    """The values of the authors of FNV."""
    assert fnv1a64(b"") == "cbf29ce484222325"
    assert fnv1a64(b"a") == "af63dc4c8601ec8c"
    assert fnv1a64(b"foobar") == "85944171f73967e8"


def test_a_stream() -> None:
    by_sha = Stream(bytes=len(ASKED), sha256=hashlib.sha256(ASKED).hexdigest())
    for one in (by_sha, end(b"", ASKED).written):
        assert one.is_of(ASKED)
        assert not one.is_of(ASKED[:-1] + b"?")
        assert not one.is_of(ASKED + b"?")


def test_lines() -> None:
    assert parse(f"{LINE}\n{LINE}\n".encode()) == [end(b"", ASKED)] * 2
    assert parse(b"") == []


def test_left_out() -> None:
    assert parse(b'{"left_out": "no reset"}\n') == LeftOut(left_out="no reset")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("hello", "line 2 of its output is wrong (Invalid JSON: expected value at line 1 column 1): hello"),
        ('{"role": "peer"}', "line 2 of its output is wrong"),
        (LINE.replace("cbf2", "CBF2"), "line 2 of its output is wrong"),
        (LINE.replace('"bytes": 0', '"bytes": -1'), "line 2 of its output is wrong"),
        (LINE.replace('"role"', '"rôle"'), "line 2 of its output is wrong"),
        ("\xff", "line 2 of its output is wrong"),
    ],
)
def test_wrong_lines(line: str, why: str) -> None:
    with pytest.raises(DriverError, match=re.escape(why)):
        parse(f"{LINE}\n{line}\n".encode("latin-1"))


def test_the_header_knows_the_scenarios() -> None:
    text = Path(DRIVER_HEADER).read_text()
    assert re.findall(r'\{"(\w+)", \w+_scenario\}', text) == list(SCENARIOS)


def test_the_example_of_the_protocol() -> None:
    [example] = re.findall(r'^    (\{"role".*?\}\})\n\n', PROTOCOL, re.MULTILINE | re.DOTALL)
    [line] = parse(" ".join(example.split()).encode())
    assert isinstance(line, End)
    assert (line.role, line.read.bytes, line.written.bytes) == ("client", 501, 1000)
