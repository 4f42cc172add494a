"""Reads from the kernel's type information (BTF) where the fields of its structs are.

The format is described in the kernel's Documentation/bpf/btf.rst. Offsets are cached by the kernel's
build, as reading 100,000 types takes a good part of tlstap's start.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from tlstap import cachefile
from tlstap.errors import KernelError

VMLINUX = Path("/sys/kernel/btf/vmlinux")
_NOTES = Path("/sys/kernel/notes")

_HEADER = struct.Struct("<HBBIIIII")
_MAGIC = 0xEB9F
_MAX_SIZE = 256 << 20
_MAX_DEPTH = 32
_MAX_VISITED = 256

_STRUCT, _UNION = 4, 5
_MODIFIERS = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag
_COMPOSITE = (_STRUCT, _UNION)

# 32-bit words that follow a type's first three, by kind: a fixed number, and a number for each member.
_FIXED_WORDS = (0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0)
_MEMBER_WORDS = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)

_CACHE = "kernel-offsets.json"


def field_offsets(fields: Mapping[str, str]) -> dict[str, int]:
    """Byte offsets of struct fields of the running kernel.

    :param fields: by any name, a path `struct.field.field`; anonymous structs and unions are looked into.
    :return: the offset of each, from the start of the struct that the path begins with.
    :raise KernelError: the kernel has no BTF, it is malformed, or a field is not in it.
    """
    try:
        identity = _kernel_identity()
        known = _load(identity)
        if not known.keys() >= set(fields.values()):
            known = BtfTypes(VMLINUX.read_bytes()).offsets(set(fields.values()))
            cachefile.store(_CACHE, json.dumps({"kernel": identity, "offsets": known}).encode())
    except FileNotFoundError:
        raise KernelError(
            f"{VMLINUX} does not exist: the kernel was built without type information (CONFIG_DEBUG_INFO_BTF)"
        ) from None
    except OSError as error:
        raise KernelError(f"{VMLINUX} can't be read: {error.strerror}") from None
    return {name: known[path] for name, path in fields.items()}


def _kernel_identity() -> str:
    """Equal for two starts of the same build of the kernel: the notes hold its build-id."""
    system = os.uname()
    size = VMLINUX.stat().st_size
    state = hashlib.blake2b(f"{system.release} {system.version} {system.machine} {size} ".encode())
    with suppress(OSError):  # without notes, the version still has the time of the build
        state.update(_NOTES.read_bytes())
    return state.hexdigest()


def _load(identity: str) -> dict[str, int]:
    damaged = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
    with suppress(*damaged):
        saved = json.loads(cachefile.load(_CACHE) or b"{}")
        if saved.get("kernel") == identity:
            return {str(path): int(offset) for path, offset in saved["offsets"].items()}
    return {}


class BtfTypes:
    """The types in a BTF blob.

    :raise KernelError: if it is malformed.
    """

    def __init__(self, content: bytes) -> None:
        if len(content) > _MAX_SIZE or len(content) < _HEADER.size:
            raise _malformed(f"{len(content)} bytes")
        magic, version, _, header, types, types_size, strings, strings_size = _HEADER.unpack_from(content)
        if magic != _MAGIC or version != 1:
            raise _malformed(f"magic {magic:#x}, version {version}")
        if max(header + types + types_size, header + strings + strings_size) > len(content) or types_size % 4:
            raise _malformed("its parts are larger than the whole")
        self._strings = content[header + strings : header + strings + strings_size]
        start = header + types
        self._words = struct.unpack(f"<{types_size // 4}I", content[start : start + types_size])
        self._positions: list[int] = [0]  # type 0 is void

    def offsets(self, paths: Collection[str]) -> dict[str, int]:
        """Byte offset of each `struct.field.field`."""
        structs = self._index({path.partition(".")[0] for path in paths})
        return {path: self._offset(path, structs) for path in paths}

    def _index(self, names: Collection[str]) -> dict[str, list[int]]:
        """Note where every type is, and which are the structs of these names."""
        words = self._words
        wanted = {offset: name for name in names for offset in self._string_offsets(name)}
        structs: dict[str, list[int]] = {name: [] for name in names}
        positions = [0]
        position = 0
        try:
            while position < len(words):
                info = words[position + 1]
                kind = info >> 24 & 0x1F
                if kind in _COMPOSITE and words[position] in wanted:
                    structs[wanted[words[position]]].append(position)
                positions.append(position)
                position += 3 + _FIXED_WORDS[kind] + _MEMBER_WORDS[kind] * (info & 0xFFFF)
        except IndexError:
            raise _malformed(f"the type at word {position} is of no known kind, or cut") from None
        if position != len(words):
            raise _malformed("the last type is cut")
        self._positions = positions
        return structs

    def _string_offsets(self, name: str) -> list[int]:
        text = name.encode() + b"\0"
        found = []
        position = self._strings.find(text)
        while position >= 0:
            found.append(position)
            position = self._strings.find(text, position + 1)
        return found

    def _offset(self, path: str, structs: Mapping[str, list[int]]) -> int:
        name, *fields = path.split(".")
        found = set()
        for position in structs[name]:
            offset = self._walk(position, fields)
            if offset is not None:
                found.add(offset)
        if len(found) != 1:
            raise KernelError(
                f"{VMLINUX}: {path} is " + ("ambiguous" if found else "not there") + " in this kernel"
            )
        return found.pop()

    def _walk(self, position: int, fields: list[str]) -> int | None:
        """Bytes from the start of the struct at `position` to a field of a field of it."""
        total = 0
        for number, field in enumerate(fields):
            member = self._member(position, set(self._string_offsets(field)), set())
            if member is None:
                return None
            bits, type_id = member
            total += bits
            if number + 1 < len(fields):
                position = self._strip(type_id)
        return total // 8 if total % 8 == 0 else None

    def _member(self, position: int, names: Collection[int], visited: set[int]) -> tuple[int, int] | None:
        """(offset in bits, type) of a member of that name, also inside anonymous members."""
        info = self._words[position + 1] if position >= 0 else 0
        if info >> 24 & 0x1F not in _COMPOSITE or position in visited or len(visited) > _MAX_VISITED:
            return None
        visited.add(position)
        has_bitfields = info >> 31
        for index in range(info & 0xFFFF):
            name, type_id, offset = self._words[position + 3 + index * 3 : position + 6 + index * 3]
            if has_bitfields:
                size, offset = offset >> 24, offset & 0xFFFFFF
                if size and name in names:
                    return None
            if name in names:
                return offset, type_id
            if name == 0:
                inner = self._member(self._strip(type_id), names, visited)
                if inner is not None:
                    return offset + inner[0], inner[1]
        return None

    def _strip(self, type_id: int) -> int:
        """Position of the type behind typedefs and qualifiers, or -1 for void."""
        for _ in range(_MAX_DEPTH):
            if not 0 < type_id < len(self._positions):
                return -1
            position = self._positions[type_id]
            if self._words[position + 1] >> 24 & 0x1F not in _MODIFIERS:
                return position
            type_id = self._words[position + 2]
        raise _malformed("a chain of typedefs without end")


def _malformed(problem: str) -> KernelError:
    return KernelError(f"{VMLINUX}: malformed type information: {problem}")
