"""Fixtures of these tests: see tests/support/fixtures.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bpf import own_library
from tests.bpf.own_library import Program
from tests.support.case import Case
from tests.support.certificates import Certificates
from tests.support.fixtures import (
    RunTlstap,
    certificates,
    nginx,
    own_libraries,
    programs,
    records,
    root,
    tlstap,
)
from tests.support.programs import Programs

__all__ = ["certificates", "nginx", "own_libraries", "programs", "records", "root", "tlstap"]


@pytest.fixture
def case(tlstap: RunTlstap, certificates: Certificates, programs: Programs, records: Path) -> Case:
    """A program of pair.h that runs under tlstap."""
    return Case(tlstap, certificates, programs, records)


@pytest.fixture
def program(programs: Programs) -> Iterator[Program]:
    """A program with a TLS library's functions."""
    with own_library.run(programs.path("own_library")) as running:
        yield running
