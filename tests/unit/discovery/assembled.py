"""Code of x86-64 that the assembler makes, in ELF files that nothing unwinds."""

from __future__ import annotations

import subprocess
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tlstap.discovery.elf import ElfImage


def assemble(folder: Path, source: str, *options: str) -> tuple[ElfImage, dict[str, int]]:
    """A stripped image of this code (Intel syntax), and the addresses of its labels."""
    text, whole, stripped = folder / "code.s", folder / "whole", folder / "stripped"
    text.write_text(f".intel_syntax noprefix\n.text\n{source}\n")
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", whole, text, *options], check=True)
    subprocess.run(["strip", "-s", "-o", stripped, whole], check=True)
    with whole.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        labels = {symbol.name: int(symbol["st_value"]) for symbol in table.iter_symbols() if symbol.name}
    return ElfImage.open(str(stripped)), labels
