"""Damaged images: whatever is asked of them, the answer is one or an ElfError."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from tlstap.discovery.elf import ElfImage
from tlstap.errors import ElfError

Questions = Callable[[ElfImage], Iterable[Callable[[], object]]]


def answers(content: bytes, questions: Questions) -> int:
    """Ask an image with this content everything; the number of answers that were no ElfError."""
    fd = os.memfd_create("image")
    count = 0
    try:
        os.write(fd, content)
        try:
            image = ElfImage.from_fd(fd, "damaged")
        except ElfError as error:
            assert str(error).startswith("damaged: ")
            return 0
        for question in questions(image):
            try:
                question()
                count += 1
            except ElfError as error:
                assert str(error).startswith("damaged: ")
    finally:
        os.close(fd)
    return count
