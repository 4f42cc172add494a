"""Large files are put off, so that tracing of others need not wait for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.discovery.test_scan import library, mine, nobody, process

from tlstap.discovery import scan
from tlstap.discovery.cache import ReportCache
from tlstap.discovery.scan import Scanner

__all__ = ["mine"]


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scan, "LARGE", 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def descriptors() -> set[str]:
    """Those that this process has open."""
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def putting_off(cache: ReportCache | None = None) -> Scanner:
    return Scanner([library()], nobody, cache, put_off_large=True)


def test_they_are_taken_in_when_they_have_been_looked_into(mine: Path) -> None:
    with process(mine) as one, process(mine) as other, putting_off() as scanner:
        assert scanner.scan([one.pid]) == []
        (large,) = [large for large in scanner.large if large.path == str(mine)]
        assert large.pids == {one.pid}
        scanner.scan([other.pid])
        assert large.pids == {one.pid, other.pid}, "the same file is put off once"
        shown: list[tuple[str, int, int]] = []
        large.look(lambda *work: shown.append(work))
        assert shown[0] == (str(mine), 0, 3 * mine.stat().st_size)
        (image,) = scanner.take_in(large)
        assert image.pids == {one.pid, other.pid}
        assert [found.name for found in image.report.libraries] == ["mine"]
        assert image.fd is not None and os.fstat(image.fd).st_ino == mine.stat().st_ino
        assert large not in scanner.large
        assert scanner.images == [image]


def test_a_process_that_ended_meanwhile_is_not_theirs(mine: Path) -> None:
    with process(mine) as one, putting_off() as scanner:
        scanner.scan([one.pid])
        (large,) = [large for large in scanner.large if large.path == str(mine)]
        scanner._forget(one.pid)
        large.look()
        (image,) = scanner.take_in(large)
        assert image.pids == set()


def test_known_ones_are_not_put_off(mine: Path) -> None:
    declared = [library()]
    with Scanner(declared, nobody, ReportCache(declared), put_off_large=True) as scanner:
        assert scanner.scan_files([str(mine)]) == []
        (large,) = scanner.large
        large.look()
        scanner.take_in(large)
    with Scanner(declared, nobody, ReportCache(declared), put_off_large=True) as scanner:
        (image,) = scanner.scan_files([str(mine)])
        assert image.path == str(mine)
        assert scanner.large == []


def test_without_tls_nothing_remains_of_them(tmp_path: Path, small_library: Path) -> None:
    with putting_off() as scanner:
        before = descriptors()
        assert scanner.scan_files([str(small_library)]) == []
        (large,) = scanner.large
        large.look()
        assert scanner.take_in(large) == []
        assert scanner.scan_files([str(small_library)]) == []
        assert scanner.large == [], "it is not looked into again"
        assert descriptors() == before


def test_malformed_ones_are_told_of(tmp_path: Path, small_library: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(small_library.read_bytes()[:2000])
    with putting_off() as scanner:
        scanner.scan_files([str(broken)])
        (large,) = scanner.large
        large.look()
        assert scanner.take_in(large) == []
        assert "broken" in scanner.diagnostics.left_out["malformed"].example


def test_closing_closes_their_files(mine: Path) -> None:
    before = descriptors()
    with putting_off() as scanner:
        scanner.scan_files([str(mine)])
        assert len(scanner.large) == 1
    assert descriptors() == before


def test_others_are_looked_into_at_once_and_say_how_far_they_are(mine: Path) -> None:
    shown: list[tuple[str, int, int]] = []
    with Scanner([library()], nobody, show_work=lambda *work: shown.append(work)) as scanner:
        (image,) = scanner.scan_files([str(mine)])
        assert image.path == str(mine)
    assert shown == [(str(mine), 0, 3 * mine.stat().st_size)]
