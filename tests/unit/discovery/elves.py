"""ELF files built byte by byte, for any machine."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from tlstap.discovery.elf import ElfImage

X86_64, AARCH64 = 62, 183
BASE = 0x10000


def elf_image(
    code: bytes, machine: int = X86_64, functions: Sequence[tuple[str, int, int]] = (), data: bytes = b""
) -> ElfImage:
    """An image as `elf_bytes` makes it, in memory."""
    fd = os.memfd_create("image")
    os.write(fd, elf_bytes(code, machine, functions, data))
    return ElfImage.adopt(fd, "image")


def elf_bytes(
    code: bytes,
    machine: int = X86_64,
    functions: Sequence[tuple[str, int, int]] = (),
    data: bytes = b"",
) -> bytes:
    """An ELF file with `code` at address BASE and the (name, offset in code, size) of its functions.

    :param data: content of .rodata, which is loaded too.
    """
    names = b"\0"
    symbols = bytes(24)
    for name, offset, size in functions:
        symbols += struct.pack("<IBBHQQ", len(names), 0x12, 0, 1, BASE + offset, size)
        names += name.encode() + b"\0"
    section_names = b"\0.text\0.rodata\0.dynsym\0.dynstr\0.shstrtab\0"
    parts = [code, data, symbols, names, section_names]
    offsets = []
    body = bytearray(bytes(64 + 56))
    for part in parts:
        body += bytes(-len(body) % 16)
        offsets.append(len(body))
        body += part
    body += bytes(-len(body) % 16)
    headers_at = len(body)
    at = [section_names.index(name) for name in (b".text", b".rodata", b".dynsym", b".dynstr", b".shstrtab")]

    def section(index: int, kind: int, flags: int, link: int = 0, entry: int = 0) -> bytes:
        offset, size = offsets[index], len(parts[index])
        address = BASE + offset - offsets[0]
        return struct.pack("<IIQQQQIIQQ", at[index], kind, flags, address, offset, size, link, 1, 8, entry)

    body += bytes(64)
    body += (
        section(0, 1, 6) + section(1, 1, 2) + section(2, 11, 2, 4, 24) + section(3, 3, 2) + section(4, 3, 0)
    )
    body[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + bytes(9),
        3,
        machine,
        1,
        0,
        64,
        headers_at,
        0,
        64,
        56,
        1,
        64,
        6,
        5,
    )
    loaded = headers_at - offsets[0]
    body[64:120] = struct.pack("<IIQQQQQQ", 1, 5, offsets[0], BASE, BASE, loaded, loaded, 0x1000)
    return bytes(body)
