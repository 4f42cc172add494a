"""Filters in the terms in which BPF decides them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tlstap.errors import UsageError
from tlstap.tracing.filters import Filters


def test_names_are_cut_as_the_kernel_cuts_them() -> None:
    filters = Filters(comms=frozenset(["curl", "a-name-of-sixteen", "café"]))
    assert sorted(filters.comm_keys()) == [
        b"a-name-of-sixte\0",
        b"caf\xc3\xa9".ljust(16, b"\0"),
        b"curl".ljust(16, b"\0"),
    ]


def test_executables_are_files_not_names(tmp_path: Path) -> None:
    file, link = tmp_path / "program", tmp_path / "link"
    file.write_text("")
    link.symlink_to(file)
    status = file.stat()
    device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
    assert Filters(exes=frozenset([str(link)])).exe_keys() == [(status.st_ino, device)]


def test_an_executable_that_is_not_there() -> None:
    with pytest.raises(UsageError) as caught:
        Filters(exes=frozenset(["/no/such/file"])).exe_keys()
    assert (
        str(caught.value) == "--exe /no/such/file: No such file or directory; give the path of an executable"
    )
