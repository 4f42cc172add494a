from __future__ import annotations

import errno
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tlstap.discovery import processes
from tlstap.discovery.files import open_regular
from tlstap.discovery.processes import CodeMapping
from tlstap.errors import ProcessGoneError

ID = "0123456789abcdef" * 4
OTHER_ID = "fedcba9876543210" * 4


@contextmanager
def mapped(path: Path) -> Iterator[CodeMapping]:
    """Map a file as code in this process."""
    fd = os.open(path, os.O_RDONLY)
    try:
        area = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    finally:
        os.close(fd)
    with area:
        mappings, complete = processes.code_mappings(os.getpid())
        assert complete
        yield next(mapping for mapping in mappings if mapping.path == str(path))


def gone_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_facts_of_this_process() -> None:
    facts = processes.facts(os.getpid())
    assert facts.pid == os.getpid()
    assert facts.comm == Path("/proc/self/comm").read_text().rstrip("\n")
    assert facts.uid == os.getuid()
    assert facts.exe == str(Path("/proc/self/exe").readlink())
    assert facts.start_time == processes.stamp(os.getpid()).start_time
    assert os.getpid() in processes.pids()


def test_a_name_with_parentheses_and_foreign_bytes(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 ("
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            facts = processes.facts(process.pid)
            assert (facts.comm, facts.exe) == ("a) S 1 (", str(program))
            assert processes.stamp(process.pid).virtual_size > 0
        finally:
            process.kill()
    assert processes.printable(b"caf\xe9\n") == "caf\\xe9\n"


def test_a_process_that_is_gone() -> None:
    pid = gone_pid()
    for action in (processes.facts, processes.stamp, processes.code_mappings):
        with pytest.raises(ProcessGoneError, match=f"process {pid}"):
            action(pid)


def test_mappings_of_code_each_file_once(tmp_path: Path) -> None:
    path = tmp_path / "a library\nwith a line break"
    path.write_bytes(bytes(8192))
    status = path.stat()
    with mapped(path) as mapping, mapped(path):
        mappings, _ = processes.code_mappings(os.getpid())
        assert [other.file for other in mappings if other.path == str(path)] == [mapping.file]
        assert mapping.inode == status.st_ino
        assert not mapping.deleted
        assert mapping.end - mapping.start == 8192
    data = tmp_path / "data"
    data.write_bytes(bytes(4096))
    with data.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        mappings, _ = processes.code_mappings(os.getpid())
        assert str(data) not in {other.path for other in mappings}


def test_opens_exactly_the_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "library"
    path.write_bytes(b"mapped".ljust(4096, b"\0"))
    with mapped(path) as mapping:
        path_fd = processes.mapped_file(os.getpid(), mapping)
        fd = open_regular(path_fd)
        assert os.read(fd, 6) == b"mapped"
        os.close(fd)
        os.close(path_fd)


def test_without_map_files_a_replaced_or_deleted_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ordinary users may not use /proc/PID/map_files; root may, so its part is taken away here."""
    real_open = os.open

    def without_map_files(path: str, *arguments: int, **options: int) -> int:
        if "/map_files/" in str(path):
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        return real_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", without_map_files)
    path = tmp_path / "library"
    path.write_bytes(b"mapped".ljust(4096, b"\0"))
    with mapped(path) as mapping:
        path_fd = processes.mapped_file(os.getpid(), mapping)
        assert os.fstat(path_fd).st_ino == mapping.inode
        os.close(path_fd)
        other = tmp_path / "other"
        other.write_bytes(b"other")
        other.rename(path)
        with pytest.raises(OSError, match="another file has taken its place"):
            processes.mapped_file(os.getpid(), mapping)
        path.unlink()
        deleted = next(m for m in processes.code_mappings(os.getpid())[0] if m.path == str(path))
        assert deleted.deleted
        with pytest.raises(FileNotFoundError):
            processes.mapped_file(os.getpid(), deleted)


def test_opens_files_beside_another(tmp_path: Path) -> None:
    (tmp_path / "libcrypto.so.3").write_text("crypto")
    (tmp_path / "link").symlink_to(tmp_path / "libcrypto.so.3")
    library = str(tmp_path / "libssl.so.3")
    for pid in (None, os.getpid()):
        for name in ("libcrypto.so.3", "link"):
            fd = processes.open_beside(pid, library, name)
            assert os.read(fd, 100) == b"crypto"
            os.close(fd)
        for name in ("../x", "/etc/passwd", "absent"):
            with pytest.raises(FileNotFoundError):
                processes.open_beside(pid, library, name)


def test_links_stay_inside_another_root(tmp_path: Path) -> None:
    from tlstap.discovery.files import path_in_root

    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "inside").write_text("inside")
    (tmp_path / "absolute").symlink_to("/etc/inside")
    (tmp_path / "up").symlink_to("../../../../etc/inside")
    for name in ("/absolute", "up", "etc/../../etc/inside"):
        fd = path_in_root(str(tmp_path), name)
        assert os.fstat(fd).st_ino == (tmp_path / "etc" / "inside").stat().st_ino
        os.close(fd)
    (tmp_path / "out").symlink_to("/etc/passwd")
    with pytest.raises(FileNotFoundError):
        path_in_root(str(tmp_path), "/out")


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        (f"0::/system.slice/docker-{ID}.scope", ID),
        (f"12:cpu:/docker/{ID}\n0::/", ID),
        (f"0::/docker/{OTHER_ID}/docker/{ID}", ID),
        (f"0::/machine.slice/libpod-{ID}.scope/container", ID),
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", ID),
        (f"0::/machine.slice/libpod-conmon-{ID}.scope", None),
        (f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", ID),
        (f"0::/kubepods/burstable/pod0a1b2c3d-1111-2222-3333-444455556666/{ID}", ID),
        (f"0::/kubepods.slice/crio-{ID}.scope", ID),
        ("0::/lxc.payload.web-1/system.slice/nginx.service", "web-1"),
        ("4:memory:/lxc/web/init.scope", "web"),
        ("0::/lxc.monitor.web", None),
        (r"0::/machine.slice/systemd-nspawn@my\x2dbox.service/payload", "my-box"),
        (r"0::/machine.slice/machine-my\x2dbox.scope", "my-box"),
        (r"0::/machine.slice/machine-qemu\x2d1\x2dvm.scope", None),
        ("0::/user.slice/user-1000.slice/session-2.scope", None),
        (f"0::/something/{ID}0", None),
        ("0::/", None),
        ("", None),
    ],
)
def test_container(cgroup: str, expected: str | None) -> None:
    assert processes.container_id(cgroup) == expected
