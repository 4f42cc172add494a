"""Opens files that others control: regular files only, never blocking, never outside their mount root."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from typing import NamedTuple

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_CHUNK = 1 << 20


class FileIdentity(NamedTuple):
    """Which file, in which state: if all fields are equal, the content is the one seen before."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def lasting(self) -> bool:
        """Whether the device number means the same device tomorrow.

        Numbers with major 0 (overlayfs, FUSE, tmpfs, btrfs) are given out anew at each mount, so an
        attacker's mount may get the number that another one had.
        """
        return os.major(self.device) != 0


def open_regular(path: str | int, dir_fd: int | None = None) -> int:
    """Open a regular file for reading; nothing else is ever opened, so neither a FIFO blocks nor does a
    device's driver act.

    :param path: a path, or a file descriptor opened with O_PATH (not closed).
    :raise OSError: also if it is no regular file (EINVAL).
    """
    path_fd = path if isinstance(path, int) else os.open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(path_fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        if path_fd is not path:
            os.close(path_fd)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def path_in_root(root: str, path: str) -> int:
    """An O_PATH descriptor of a file below another mount root, as /proc/PID/root is one.

    Symbolic links are followed inside that root, also absolute ones (an ordinary open would look for
    their targets below our own root).

    :raise OSError: if it can't be reached.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        libc = ctypes.CDLL(None, use_errno=True)
        path_fd: int = libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root_fd),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if path_fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return path_fd
    finally:
        os.close(root_fd)


def digest(fd: int) -> str:
    """BLAKE2b of a file's content, in hex."""
    state = hashlib.blake2b(digest_size=32)
    offset = 0
    while chunk := os.pread(fd, _CHUNK, offset):
        state.update(chunk)
        offset += len(chunk)
    return state.hexdigest()
