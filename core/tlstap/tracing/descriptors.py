"""What the engine does with file descriptors on BCC's account."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence


@contextlib.contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Collect what C libraries print to descriptor 2 meanwhile."""
    with tempfile.TemporaryFile() as collected:
        saved = os.dup(2)
        os.dup2(collected.fileno(), 2)

        def words() -> str:
            collected.seek(0)
            return collected.read().decode(errors="replace")

        try:
            yield words
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def close_in_background(descriptors: Sequence[int]) -> None:
    """Close descriptors in a child, whose copies are then the last ones."""
    if not descriptors:
        return
    reader, writer = os.pipe()
    if os.fork():
        os.close(reader)
        for descriptor in descriptors:
            os.close(descriptor)
        os.close(writer)
        return
    try:
        os.close(writer)
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.read(reader, 1)  # until the parent has closed its own
    finally:
        os._exit(0)
