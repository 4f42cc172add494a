"""ELF files to look at."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Compile = Callable[..., Path]


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile C text into a shared library (or, with shared=False, a program)."""

    def compile_(source: str, *options: str, shared: bool = True, name: str = "lib.so") -> Path:
        folder = tmp_path_factory.mktemp("elf")
        (folder / "source.c").write_text(source)
        output = folder / name
        kind = ["-shared", "-fPIC", "-nostdlib"] if shared else []
        subprocess.run(
            ["gcc", "-O2", "-Wl,--build-id", *kind, "-o", output, folder / "source.c", *options], check=True
        )
        return output

    return compile_


@pytest.fixture(scope="session")
def small_library(compile_c: Compile) -> Path:
    """A library with exported and static functions, a version text, and a table of debug symbols."""
    return compile_c(
        """
        const char version[] = "Small 1.2.3 (today)";
        static __attribute__((noinline)) int hidden_part(int x) { return x * 3 + version[x]; }
        int small_read(int x) { return hidden_part(x) + 1; }
        int small_write(int x) { return hidden_part(x) + 2; }
        extern int elsewhere(int);
        int small_call(int x) { return elsewhere(x) + hidden_part(x); }
        """,
        "-Wl,-soname,libsmall.so.1",
    )
