"""What an ELF image consists of, and how a file may fail to be one."""

from __future__ import annotations

from typing import NamedTuple

from elftools.elf.constants import P_FLAGS

from tlstap.errors import ElfError

MAX_LOOKED_THROUGH = 4 << 30
"""Bytes of data, or of code, of a file that is looked through; no program is as large."""


class NotElfError(ElfError):
    """The file is something else: a script, data, code that a program made up."""


class ForeignElfError(ElfError):
    """A proper ELF file, but of another machine or size, or an object or core file."""


class Segment(NamedTuple):
    """A program header; `type` is its name (PT_LOAD), or the number of one that has no name."""

    type: str | int
    flags: int
    offset: int
    address: int
    file_size: int

    @property
    def executable(self) -> bool:
        return bool(self.flags & P_FLAGS.PF_X)


class Section(NamedTuple):
    """A section header; `file_size` is 0 for sections without content.

    `type` is its name (SHT_PROGBITS), or the number of one that has no name.
    """

    name: str
    type: str | int
    flags: int
    address: int
    offset: int
    file_size: int
    link: int
    entry_size: int
