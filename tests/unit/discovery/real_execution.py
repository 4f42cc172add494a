"""Runs functions of compiled libraries, symbolically and really, to compare what they store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from elftools.elf.elffile import ELFFile

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.relocations import Relocations
from tlstap.discovery.straight_line import Outcome, execute
from tlstap.discovery.symbolic import Address, Number, SymbolAddress, Value
from tlstap.discovery.unwind import function_bounds


def bounds_of(path: Path, name: str) -> tuple[int, int]:
    """Where a symbol begins and ends."""
    with path.open("rb") as file:
        (symbol,) = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(name)
        return int(symbol["st_value"]), int(symbol["st_value"] + symbol["st_size"])


def run_symbolically(path: Path, function: str) -> Outcome:
    """Execute a function whose bounds the unwind tables know, too."""
    with ElfImage.open(str(path)) as image:
        bounds = function_bounds(image, bounds_of(path, function)[0])
        assert bounds == bounds_of(path, function)
        return execute(image, Relocations(image), bounds)


RUN = """
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1])
library.where.restype = ctypes.c_void_p
everything = ctypes.CDLL(None)
symbols = {name: ctypes.cast(getattr(everything, name), ctypes.c_void_p).value for name in ("free", "calloc")}
for function in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        ctypes.memset(library.where(), 0xAA, 256)
        library[function]()
        content = ctypes.string_at(library.where(), 256).hex()
        print(function, library.where(), symbols["free"], symbols["calloc"], content, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


class Real(NamedTuple):
    """What the processor put into `out`, how far the library was moved, and addresses in the C library."""

    content: bytes
    moved: int
    symbols: dict[str, int]

    def word(self, value: Value) -> bytes:
        """What a value is in memory."""
        if isinstance(value, SymbolAddress):
            return self.symbols[value.name].to_bytes(8, "little")
        assert isinstance(value, Number | Address)
        return (value.value + (self.moved if isinstance(value, Address) else 0)).to_bytes(8, "little")


def run_really(path: Path, *functions: str) -> dict[str, Real]:
    """Run each function in a process of its own; those that crash are left out."""
    command = [sys.executable, "-c", RUN, path, *functions]
    results = {}
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        function, where, free, calloc, content = line.split()
        moved = int(where) - bounds_of(path, "out")[0]
        symbols = {"free": int(free), "calloc": int(calloc)}
        results[function] = Real(bytes.fromhex(content), moved, symbols)
    return results


def offsets_known(outcome: Outcome, path: Path, real: Real) -> set[int]:
    """Where in `out` something is known, all of which must be true."""
    start, end = bounds_of(path, "out")
    known = {address - start: cell for address, cell in outcome.stored.items() if start <= address < end}
    for offset, (size, value) in known.items():
        assert real.content[offset : offset + size] == real.word(value)[:size], f"at {offset}"
    return {*known}
