"""A text that may break the compiler: it is tried in another process, once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tlstap.errors import CompileError
from tlstap.tracing import compiler
from tlstap.tracing.compiler import survive


class Other:
    """In the other process's place: ends with a status, or does not end."""

    def __init__(self) -> None:
        self.status: int | None = 0
        self.given: list[Any] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert command[1] == "-P", "nothing is imported from the current folder"
        self.given.append(json.loads(options["input"]))
        if self.status is None:
            raise subprocess.TimeoutExpired(command, options["timeout"])
        return subprocess.CompletedProcess(command, self.status, "", "some\nwords\n")


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Other:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = Other()
    monkeypatch.setattr(compiler.subprocess, "run", made)
    return made


def test_what_went_well_is_not_tried_again(other: Other) -> None:
    for _ in range(2):
        survive("int x;", ["-DONE=1"])
    survive("int y;", [])
    assert other.given == [["int x;", ["-DONE=1"]], ["int y;", []]]


def test_what_only_does_not_compile_shows_later(other: Other) -> None:
    other.status = 3
    for _ in range(2):
        survive("int x", [])
    assert len(other.given) == 2, "it is tried again"


@pytest.mark.parametrize("status", [-6, -11, 1, 70])
def test_a_compiler_that_breaks_down(other: Other, status: int) -> None:
    other.status = status
    for _ in range(2):
        with pytest.raises(CompileError) as caught:
            survive("int x;", [])
        assert str(caught.value) == ("the BPF program does not compile: the compiler broke down\nsome\nwords")
        assert caught.value.words == "some\nwords\n"
    assert len(other.given) == 2


def test_a_compiler_that_does_not_end(other: Other) -> None:
    other.status = None
    with pytest.raises(CompileError, match="the compiler did not end in 60 s"):
        survive("int x;", [])
