"""Output files are private, and never somebody else's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tlstap.cli import files
from tlstap.cli.files import create_private
from tlstap.errors import TlstapError, UsageError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    before = os.umask(0)
    try:
        with create_private(str(path)) as stream:
            stream.write("é\n")
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert path.read_bytes() == b"\xc3\xa9\n"


def test_an_existing_file_is_emptied_and_made_private(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("something longer")
    path.chmod(0o644)
    with create_private(str(path)) as stream:
        assert mode(path) == 0o600
        stream.write("short")
    assert path.read_text() == "short"


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(UsageError, match="link is a symbolic link; give -o the path of a file"):
        create_private(str(link))
    assert target.read_text() == "precious"


def test_a_hard_link_is_refused_untouched(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("precious")
    target.chmod(0o644)
    link.hardlink_to(target)
    with pytest.raises(UsageError, match="has another name as well"):
        create_private(str(link))
    assert (target.read_text(), mode(target)) == ("precious", 0o644)


def test_a_file_of_somebody_else_is_refused_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.write_text("bait")
    owner = path.stat().st_uid
    monkeypatch.setattr(files, "_trusted_owners", lambda: {owner + 1})
    with pytest.raises(UsageError, match=rf"belongs to another user \(uid {owner}\)"):
        create_private(str(path))
    assert path.read_text() == "bait"


@pytest.mark.parametrize(
    ("euid", "sudo_uid", "owners"),
    [(0, None, {0}), (0, "1000", {0, 1000}), (0, "root", {0}), (1001, "1000", {0, 1001})],
)
def test_whose_files_are_trusted(
    monkeypatch: pytest.MonkeyPatch, euid: int, sudo_uid: str | None, owners: set[int]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.delenv("SUDO_UID", raising=False)
    if sudo_uid is not None:
        monkeypatch.setenv("SUDO_UID", sudo_uid)
    assert files._trusted_owners() == owners


def test_a_device_is_written_to_as_it_is() -> None:
    before = mode(Path(os.devnull))
    with create_private(os.devnull) as stream:
        stream.write("gone")
    assert mode(Path(os.devnull)) == before


def test_what_the_system_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(TlstapError, match=r"can't write to .*/no/out: No such file or directory"):
        create_private(str(tmp_path / "no" / "out"))
    with pytest.raises(TlstapError, match="Is a directory"):
        create_private(str(tmp_path))
