from __future__ import annotations

import os
from pathlib import Path

import pytest

from tlstap import cachefile


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tlstap"


def test_what_is_stored_is_loaded(folder: Path) -> None:
    assert cachefile.load("a") is None
    assert cachefile.store("a", b"one")
    assert cachefile.store("a", b"two")
    assert cachefile.load("a") == b"two"
    assert [file.name for file in folder.iterdir()] == ["a"]
    assert (folder / "a").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_home_folder_without_xdg_cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cachefile.cache_folder() == tmp_path / ".cache" / "tlstap"


def test_what_others_could_have_written_is_not_trusted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cachefile.store("a", b"mine")
    (folder / "a").chmod(0o620)
    assert cachefile.load("a") is None
    (folder / "a").chmod(0o600)
    folder.chmod(0o777)
    assert cachefile.load("a") is None
    assert not cachefile.store("a", b"new")
    folder.chmod(0o700)
    assert cachefile.load("a") == b"mine"
    (folder / "link").symlink_to(folder / "a")
    assert cachefile.load("link") is None
    os.mkfifo(folder / "fifo", 0o600)
    assert cachefile.load("fifo") is None
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert cachefile.load("a") is None
    assert not cachefile.store("a", b"new")


def test_a_folder_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert not cachefile.store("a", b"new")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_folder_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not cachefile.store("a", b"new")
    assert cachefile.load("a") is None
    cachefile.keep_newest("a", 1)


def test_too_large_a_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cachefile.store("a", b"12345")
    monkeypatch.setattr(cachefile, "_MAX_SIZE", 4)
    assert cachefile.load("a") is None


def test_keeps_the_newest_of_a_kind(folder: Path) -> None:
    for number, name in enumerate(("x-old", "other", "x-new", "x-newer")):
        cachefile.store(name, b"")
        os.utime(folder / name, (number, number))
    cachefile.keep_newest("x-", 2)
    assert {file.name for file in folder.iterdir()} == {"other", "x-new", "x-newer"}
