from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.unit.discovery.test_analysis import library

from tlstap.discovery import cache
from tlstap.discovery.cache import Entry, ReportCache
from tlstap.discovery.files import FileIdentity, digest
from tlstap.discovery.report import FoundLibrary, ImageReport

DISK, OVERLAY = os.makedev(8, 1), os.makedev(0, 52)
FOUND = ImageReport(
    machine="x86_64",
    build_id="c0ffee",
    libraries=(FoundLibrary(name="mine", version="1.0", functions=(), missing=()),),
)
FAILED = FOUND.model_copy(update={"problems": ("other's plugin is wrong",), "failed": ("other",)})
NOTED = ImageReport(machine="x86_64", build_id=None, unsupported=("go",))


def identity(device: int = DISK, inode: int = 7, size: int = 100) -> FileIdentity:
    return FileIdentity(device, inode, size, 1_000_000_001, 2_000_000_002)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tlstap"


def saved(*entries: tuple[FileIdentity, Entry]) -> ReportCache:
    """A cache with these entries, as a later run finds it."""
    first = ReportCache([library()])
    for file, entry in entries:
        first.put(file, entry)
    first.save()
    return ReportCache([library()])


def test_entries_come_back() -> None:
    companions = {"libother.so.2": identity(inode=9)}
    later = saved(
        (identity(), Entry(FOUND, "digest", companions)),
        (identity(inode=8), Entry(None)),
        (identity(inode=10), Entry(NOTED)),
    )
    assert later.get(identity()) == Entry(FOUND, "digest", companions)
    assert later.get(identity(inode=8)) == Entry(None)
    assert later.get(identity(inode=10)) == Entry(NOTED)
    assert later.get(identity(inode=11)) is None


def test_nothing_is_remembered_of_a_file_in_which_a_plugin_failed() -> None:
    assert saved((identity(), Entry(FAILED, "digest"))).get(identity()) is None


@pytest.mark.parametrize("field", FileIdentity._fields)
def test_a_file_that_differs_in_anything_is_another_one(field: str) -> None:
    later = saved((identity(), Entry(FOUND, "digest")))
    changed = identity()._replace(**{field: getattr(identity(), field) + 1})
    assert later.get(changed) is None


def test_where_devices_are_numbered_anew_an_identity_places_no_probes() -> None:
    """An attacker's file may get the identity of another one, if its times can be chosen."""
    file = identity(OVERLAY)
    assert saved((file, Entry(FOUND, "digest"))).get(file) is None
    assert saved((file, Entry(NOTED))).get(file) == Entry(NOTED)
    assert saved((file, Entry(None))).get(file) == Entry(None)


def test_a_file_with_the_same_content_has_the_same_entry(tmp_path: Path) -> None:
    """A forged build-id is not enough."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    fd = os.open(path, os.O_RDONLY)
    later = saved((identity(OVERLAY), Entry(FOUND, digest(fd))))
    copy = identity(DISK, inode=55)
    entry = later.get_by_content(copy, "c0ffee", fd)
    assert entry is not None
    assert entry.report == FOUND
    assert later.get_by_content(copy, "other", fd) is None
    assert later.get_by_content(identity(size=99), "c0ffee", fd) is None
    path.write_bytes(b"x" * 99 + b"y")
    assert later.get_by_content(copy, "c0ffee", fd) is None
    os.close(fd)


def test_other_declarations_have_other_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    file = identity()
    saved((file, Entry(FOUND, "digest")))
    assert ReportCache([library()]).get(file) is not None
    assert ReportCache([library(locator_version=2)]).get(file) is None
    assert ReportCache([library(), library("other")]).get(file) is None
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert ReportCache([library()]).get(file) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"empty": [[1,2,3]], "found": []}',
        b'{"empty": [["a","b","c","d","e"]], "found": []}',
        b'{"empty": [], "found": [{"identity": [1,2,3,4,5], "content": "", "companions": {}, "report": {}}]}',
        b'{"empty": [], "found": [7]}',
        b"[" * 100_000,
    ],
)
def test_damaged_entries_are_ignored_and_written_anew(folder: Path, content: bytes) -> None:
    saved((identity(), Entry(None)))
    (file,) = folder.iterdir()
    file.write_bytes(content)
    assert ReportCache([library()]).get(identity()) is None
    assert saved((identity(), Entry(None))).get(identity()) == Entry(None)


def test_nothing_is_written_without_news(folder: Path) -> None:
    later = saved((identity(), Entry(None)))
    (file,) = folder.iterdir()
    file.unlink()
    later.get(identity())
    later.save()
    assert list(folder.iterdir()) == []


def test_the_least_recently_used_entries_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_ENTRIES", 3)
    files = [identity(inode=number) for number in range(4)]
    first = ReportCache([library()])
    for file in files[:3]:
        first.put(file, Entry(None))
    assert first.get(files[0])
    first.put(files[3], Entry(FOUND, "digest"))
    first.save()
    later = ReportCache([library()])
    assert [later.get(file) is not None for file in files] == [True, False, True, True]


def test_few_sets_of_declarations_are_kept(folder: Path) -> None:
    for number in range(cache._MAX_FILES + 2):
        other = ReportCache([library(locator_version=number)])
        other.put(identity(), Entry(None))
        other.save()
    assert len(list(folder.iterdir())) == cache._MAX_FILES
    assert json.loads(next(folder.iterdir()).read_bytes())["found"] == []
