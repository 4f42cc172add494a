"""What fuzzers found is replayed, and a few arbitrary conversations are tried; `make fuzz` looks for more."""

from __future__ import annotations

import sys
import tracemalloc
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.corpus import inputs
from tests.fuzz.harness import ROOMY, TIGHT, check, decoded, pipeline_of
from tests.fuzz.script import CODED, How, Script, conversation, line, parse
from tests.fuzz.targets import TARGETS, Target

LONG = 8_000
"""Bytes and records to which an input is repeated to see how much work and memory it takes."""
MOST_STEPS = 150
"""Calls of functions that a byte may take, and the tenth of a record; most take fewer than 10."""


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    """All that must hold does, for every input that is kept."""
    files = inputs(name)
    assert files
    for file in files:
        check(TARGETS[name], file.read_bytes())


def moves(target: Target) -> st.SearchStrategy[bytes]:
    """Moves of a script, with what the target's dictionary has."""
    words = st.sampled_from(target.dictionary or (b"",))
    payload = st.lists(st.one_of(st.binary(max_size=12), words), max_size=4).map(b"".join)
    return st.builds(
        lambda how, payload, *codes: line(how, payload, *codes[: sum(bool(how & flag) for flag in CODED)]),
        st.integers(0, 127).map(How),
        payload,
        *(st.integers(0, 255) for _ in CODED),
    )


@pytest.mark.parametrize("name", TARGETS)
def test_arbitrary_conversations(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 255), st.lists(moves(target), max_size=12))
    def run(talk: int, lines: list[bytes]) -> None:
        check(target, bytes((talk,)) + b"".join(lines))

    run()


def repeated(script: Script, size: int) -> Script:
    """The script's moves over and over, until there are about `size` bytes and records."""
    once = max(1, script.bytes + len(script.moves))
    return Script(script.talk, script.moves * max(1, size // once))


def steps(script: Script, alpn: str | None) -> int:
    """Calls of functions, Python's and others, that it takes to decode a script."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    records = conversation(script, alpn).records
    sys.setprofile(profile)
    try:
        decoded(records, ROOMY)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_takes_long(name: str) -> None:
    target = TARGETS[name]
    for file in inputs(name):
        script = repeated(parse(file.read_bytes(), target.units, target.prelude), LONG)
        most = MOST_STEPS * (script.bytes + 10 * len(script.moves)) + 5_000
        assert steps(script, target.alpn) <= most, file.name


MEMORY = 1 << 20
"""Bytes that a pipeline may take that is allowed next to nothing: buffers of what is not understood yet."""


@pytest.mark.parametrize("name", TARGETS)
def test_memory_is_bounded(name: str) -> None:
    target = TARGETS[name]
    for file in inputs(name):
        script = parse(file.read_bytes(), target.units, target.prelude)
        records = conversation(repeated(script, LONG), target.alpn).records
        pipeline = pipeline_of(TIGHT)
        tracemalloc.start()
        try:
            for record in records:
                for _ in pipeline.feed(record):
                    pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MEMORY, file.name
