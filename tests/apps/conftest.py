"""Fixtures of these tests: see tests/support/fixtures.py."""

from tests.support.fixtures import (
    certificates,
    nginx,
    own_libraries,
    programs,
    records,
    root,
    tlstap,
    tlstap_all_formats,
)

__all__ = [
    "certificates",
    "nginx",
    "own_libraries",
    "programs",
    "records",
    "root",
    "tlstap",
    "tlstap_all_formats",
]
