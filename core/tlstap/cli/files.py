"""Creates output files: captured plaintext is nobody else's business."""

from __future__ import annotations

import os
import stat
from typing import TextIO

from tlstap.errors import TlstapError, UsageError

MODE = 0o600


def create_private(path: str) -> TextIO:
    """Open `path` for writing as UTF-8 text, emptied, readable by its owner alone.

    tlstap runs as root and may be told to write to /tmp, where anybody can have put something under that
    name before: so no symbolic link is followed, and a file that somebody else owns, or that has another
    name as well, is refused. A device or a named pipe is written to as it is.

    :raises UsageError: it is such a file.
    :raises TlstapError: the system refuses.
    """
    # Without O_TRUNC: nothing is changed before it is known to be the right file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, MODE)
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114
            raise UsageError(f"{path} is a symbolic link; give -o the path of a file") from None
        raise TlstapError(f"can't write to {path}: {error.strerror}") from None
    try:
        _make_private(descriptor, path)
        return os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        os.close(descriptor)
        raise TlstapError(f"can't make {path} private: {error.strerror}") from None
    except UsageError:
        os.close(descriptor)
        raise


def _make_private(descriptor: int, path: str) -> None:
    status = os.fstat(descriptor)
    if status.st_uid not in _trusted_owners():
        raise UsageError(f"{path} belongs to another user (uid {status.st_uid}); choose another name for -o")
    if stat.S_ISREG(status.st_mode):
        if status.st_nlink > 1:
            raise UsageError(f"{path} has another name as well (a hard link); choose another name for -o")
        os.fchmod(descriptor, MODE)
        os.ftruncate(descriptor, 0)


def _trusted_owners() -> set[int]:
    owners = {0, os.geteuid()}
    user = os.environ.get("SUDO_UID", "")
    # Only root's environment says truly who called sudo.
    if os.geteuid() == 0 and user.isascii() and user.isdigit():
        owners.add(int(user))
    return owners
