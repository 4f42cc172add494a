"""To come."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage


def locate(image: ElfImage, function: str) -> int | None:
    return None
