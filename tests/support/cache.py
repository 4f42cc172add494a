"""What was fetched from the network once and is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """$TLSTAP_TEST_CACHE, or tlstap-tests in the user's cache folder."""
    given = os.environ.get("TLSTAP_TEST_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tlstap-tests"


def cached(name: str, fetch: Callable[[Path], Path]) -> Path:
    """The folder of that name in the cache, which is fetched if it isn't there.

    :param fetch: puts it below the empty folder that it is given and returns its path. What else is in that
        folder is removed.
    :raises RuntimeError: it can't be fetched; the message says why.
    """
    wanted = cache_folder() / name
    if not wanted.exists():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=wanted.parent) as temporary:
            complete = fetch(Path(temporary))
            try:
                complete.rename(wanted)
            except OSError as error:
                if not wanted.exists():  # if it does, another process was faster
                    raise RuntimeError(f"{wanted}: {error}") from error
    return wanted
