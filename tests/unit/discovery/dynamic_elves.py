"""ELF files with a dynamic segment and unwind tables, built byte by byte, without section headers."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from tlstap.discovery.elf import ElfImage

X86_64, AARCH64 = 62, 183
CODE, DATA, DYNAMIC, FRAMES = 0x10000, 0x20000, 0x10000000, 0x20000000
"""Addresses of the segments: code, variables, what the loader reads, unwind tables."""

_LOAD, _DYNAMIC, _EH_FRAME = 1, 2, 0x6474E550
_READ, _WRITE, _EXECUTE = 4, 2, 1


def dynamic_image(
    code: bytes,
    machine: int = AARCH64,
    *,
    data: bytes = bytes(0x200),
    relocations: Sequence[tuple[int, int, int, int]] = (),
    plt_relocations: Sequence[tuple[int, int, int, int]] = (),
    packed: Sequence[int] = (),
    symbols: Sequence[str] = (),
    frames: bytes = b"",
    tags: Mapping[int, int | None] | None = None,
    fixed: bool = False,
) -> ElfImage:
    """An image in memory.

    :param relocations: (address, kind, number of the symbol, addend); symbols count from 1.
    :param packed: entries of DT_RELR.
    :param frames: content at FRAMES, which starts with .eh_frame_hdr.
    :param tags: entries of the dynamic section that replace those that are right; None takes one out.
    :param fixed: an executable that is never moved.
    """
    names = b"\0"
    table = bytes(24)
    for name in symbols:
        table += struct.pack("<IBBHQQ", len(names), 0x12, 0, 0, 0, 0)
        names += name.encode() + b"\0"
    tables = {
        7: b"".join(_relocation(*entry) for entry in relocations),
        23: b"".join(_relocation(*entry) for entry in plt_relocations),
        36: struct.pack(f"<{len(packed)}Q", *packed),
        6: table,
        5: names,
    }
    sizes = {7: 8, 23: 2, 36: 35, 5: 10}
    content = b""
    dynamic: dict[int, int] = {}
    for tag, part in tables.items():
        dynamic[tag] = DYNAMIC + len(content)
        if tag in sizes:
            dynamic[sizes[tag]] = len(part)
        content += part + bytes(-len(part) % 16)
    changed = {**dynamic, **(tags or {})}
    pairs = [(tag, value) for tag, value in changed.items() if value is not None]
    entries = b"".join(struct.pack("<QQ", *pair) for pair in [*pairs, (0, 0)])
    segments = [
        (_LOAD, _READ | _EXECUTE, CODE, code),
        (_LOAD, _READ | _WRITE, DATA, data),
        (_LOAD, _READ, DYNAMIC, content),
        (_DYNAMIC, _READ, DYNAMIC + len(content), entries),
        *([(_LOAD, _READ, FRAMES, frames), (_EH_FRAME, _READ, FRAMES, frames)] if frames else []),
    ]
    fd = os.memfd_create("image")
    os.write(fd, _file(machine, 2 if fixed else 3, segments))
    return ElfImage.adopt(fd, "image")


def _relocation(address: int, kind: int, symbol: int, addend: int) -> bytes:
    return struct.pack("<QIIQ", address, kind, symbol, addend)


def _file(machine: int, kind: int, segments: Sequence[tuple[int, int, int, bytes]]) -> bytes:
    headers = b""
    body = bytearray(bytes(64 + 56 * len(segments)))
    for segment_type, flags, address, content in segments:
        body += bytes(-len(body) % 16)
        size = len(content)
        headers += struct.pack("<IIQQQQQQ", segment_type, flags, len(body), address, address, size, size, 16)
        body += content
    body[64 : 64 + len(headers)] = headers
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    fields = (kind, machine, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0)
    body[:64] = struct.pack("<16sHHIQQQIHHHHHH", identity, *fields)
    return bytes(body)


def without_sections(path: Path, target: Path) -> Path:
    """A copy of a file whose header names no section headers."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q", content, 0x28, 0)
    struct.pack_into("<HHH", content, 0x3A, 0, 0, 0)
    target.write_bytes(content)
    return target
