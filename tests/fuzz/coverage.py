"""Which steps of the decoders an input takes, and which inputs together take them all."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import tlstap.protocols
from tests.fuzz.harness import ROOMY, TIGHT, decoded
from tests.fuzz.script import Talk, conversation, parse
from tests.fuzz.targets import Target

Step = tuple[str, int, int]
"""From one line of a file to another."""


def steps_of(target: Target, data: bytes) -> frozenset[Step]:
    """The steps inside the decoders that an input makes the pipeline take."""
    steps: set[Step] = set()
    [folder] = tlstap.protocols.__path__
    last: dict[int, int] = {}

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            steps.add((frame.f_code.co_filename, last.get(id(frame), 0), frame.f_lineno))
            last[id(frame)] = frame.f_lineno
        elif event == "return":
            last.pop(id(frame), None)
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(folder) else None

    script = parse(data, target.units, target.prelude)
    records = conversation(script, target.alpn).records
    sys.settrace(call)
    try:
        decoded(records, TIGHT if script.talk & Talk.TIGHT else ROOMY)
    finally:
        sys.settrace(None)
    return frozenset(steps)


def cover(target: Target, inputs: Iterable[bytes], most: int) -> list[bytes]:
    """A few of the inputs, at most so many, that together take every step, or as many as possible."""
    left = {data: steps_of(target, data) for data in sorted(inputs, key=lambda data: (len(data), data))}
    chosen: list[bytes] = []
    taken: set[Step] = set()
    while left and len(chosen) < most:
        # The first of equals is the shortest.
        best = max(left, key=lambda data: len(left[data] - taken))
        new = left.pop(best) - taken
        if not new:
            break
        taken |= new
        chosen.append(best)
    return chosen
