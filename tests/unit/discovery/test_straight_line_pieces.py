"""What single instructions store: symbolic execution beside the processor, or what is expected of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.discovery.aarch64_pieces import AARCH64_PIECES, execute_aarch64
from tests.unit.discovery.dynamic_elves import DATA
from tests.unit.discovery.real_execution import Real, offsets_known, run_really, run_symbolically
from tests.unit.discovery.x86_pieces import x86_library, x86_pieces

from tlstap.discovery.symbolic import Value


@pytest.fixture(scope="module")
def library(compile_c: Callable[..., Path]) -> tuple[Path, dict[str, Real]]:
    """All pieces of this machine, and what they really do."""
    pieces = x86_pieces()
    path = compile_c(x86_library(pieces), "-nodefaultlibs", "-lc")
    return path, run_really(path, *(f"piece_{number}" for number in range(len(pieces))))


@pytest.mark.parametrize(
    ("number", "known"),
    [pytest.param(number, known, id=code) for number, (code, known) in enumerate(x86_pieces())],
)
def test_instructions_of_x86_64(library: tuple[Path, dict[str, Real]], number: int, known: set[int]) -> None:
    path, real = library
    outcome = run_symbolically(path, f"piece_{number}")
    assert offsets_known(outcome, path, real[f"piece_{number}"]) == known


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [pytest.param(words, known, id=text) for text, words, known in AARCH64_PIECES],
)
def test_instructions_of_aarch64(instructions: str, expected: dict[int, Value]) -> None:
    stored = execute_aarch64(instructions).stored
    assert {address - DATA: value for address, (_, value) in stored.items()} == expected
