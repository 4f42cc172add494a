"""Fixtures of these tests: see tests/support/fixtures.py."""

from tests.support.fixtures import certificates, nginx, own_libraries, programs, records, root, tlstap

__all__ = ["certificates", "nginx", "own_libraries", "programs", "records", "root", "tlstap"]
