"""Small files in the user's cache folder, trusted only if nobody else can write them.

A cache is never needed: whatever is wrong with it, it is ignored, and written anew if that is possible.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

_MAX_SIZE = 32 << 20


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/tlstap, by default ~/.cache/tlstap."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path("~/.cache").expanduser()) / "tlstap"


def load(name: str) -> bytes | None:
    """The content of a cache file, or None if there is none that can be trusted."""
    try:
        folder = _open_folder()
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or not _ours(status) or status.st_size > _MAX_SIZE:
                return None
            return file.read(_MAX_SIZE)
    except (OSError, RuntimeError):
        return None


def store(name: str, content: bytes) -> bool:
    """Put a file in place at once (mode 0600); False if that is not possible."""
    temporary = f".{name}.{secrets.token_hex(8)}"
    try:
        path = cache_folder()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        folder = _open_folder()
    except (OSError, RuntimeError):
        return False
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(content)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return True
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        return False
    finally:
        os.close(folder)


def keep_newest(prefix: str, count: int) -> None:
    """Remove all but the newest cache files whose names begin with `prefix`."""
    with suppress(OSError, RuntimeError):
        folder = _open_folder()
        try:
            ages = []
            with os.scandir(folder) as files:
                for file in files:
                    if file.name.startswith(prefix):
                        ages.append((file.stat(follow_symlinks=False).st_mtime_ns, file.name))
            for _, name in sorted(ages, reverse=True)[count:]:
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)


def _open_folder() -> int:
    """The folder itself must be ours: under sudo, $HOME may be another user's."""
    folder = os.open(cache_folder(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not _ours(os.fstat(folder)):
        os.close(folder)
        raise PermissionError("the cache folder belongs to somebody else")
    return folder


def _ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022
