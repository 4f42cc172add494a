from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from tests.unit.discovery.dynamic_elves import AARCH64, CODE, FRAMES, X86_64, dynamic_image, without_sections

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.unwind import function_bounds
from tlstap.errors import ElfError

# Some have a personality routine and data of their own (zPLR), one is the frame of a signal (zRS).
SOURCE = """
    extern int elsewhere(int);
    extern void clean(int *);
    static __attribute__((noinline)) int hidden(int x) { return elsewhere(x) * 3; }
    int first(int x) { return hidden(x) + 1; }
    int cleans(int x) { __attribute__((cleanup(clean))) int y = x; return elsewhere(y) + 2; }
    int rare(int x) { if (__builtin_expect(x == 77, 0)) { elsewhere(x); elsewhere(5); return 9; } return x; }
    __attribute__((cold)) int cold(int x) { return elsewhere(x) - 1; }
    __asm__(".text\\n.type signal_frame, @function\\nsignal_frame: .cfi_startproc\\n.cfi_signal_frame\\n"
            "ret\\nret\\n.cfi_endproc\\n.size signal_frame, .-signal_frame\\n");
    int last(int x) { return first(x) + cold(x) + cleans(x); }
"""


def functions(path: Path) -> dict[str, tuple[int, int]]:
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {
            symbol.name: (int(symbol["st_value"]), int(symbol["st_value"] + symbol["st_size"]))
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"]
        }


@pytest.mark.parametrize("how", ["as it is", "stripped", "no sections"])
@pytest.mark.parametrize("options", [(), ("-O0",), ("-fexceptions",), ("-fno-plt",), ("-Wl,-z,now",)])
def test_bounds_of_functions(
    compile_c: Callable[..., Path], tmp_path: Path, options: tuple[str, ...], how: str
) -> None:
    path = compile_c(SOURCE, *options)
    expected = functions(path)
    assert {"hidden", "first", "cleans", "rare", "cold", "signal_frame", "last"} <= expected.keys()
    if how == "stripped":
        subprocess.run(["strip", "--strip-all", path], check=True)
    elif how == "no sections":
        path = without_sections(path, tmp_path / "lib.so")
    with ElfImage.open(str(path)) as image:
        for start, end in expected.values():
            for address in {start, start + 1, (start + end) // 2, end - 1}:
                assert function_bounds(image, address) == (start, end)
        ends = {end for _, end in expected.values()} - {start for start, _ in expected.values()}
        assert ends
        for address in [0, 1 << 40, (1 << 64) - 1, *ends]:
            assert function_bounds(image, address) is None


@pytest.mark.parametrize("options", [(), ("-O0",), ("-fexceptions",)])
def test_a_static_program_has_no_sorted_table(
    compile_c: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = compile_c(SOURCE, *options, "-Wl,--no-eh-frame-hdr")
    expected = functions(path)
    subprocess.run(["strip", "--strip-all", path], check=True)
    with ElfImage.open(str(path)) as image:
        for start, end in expected.values():
            for address in {start, start + 1, (start + end) // 2, end - 1}:
                assert function_bounds(image, address) == (start, end)
        ends = {end for _, end in expected.values()} - {start for start, _ in expected.values()}
        for address in [0, 1 << 40, (1 << 64) - 1, *ends]:
            assert function_bounds(image, address) is None
    with ElfImage.open(str(without_sections(path, tmp_path / "lib.so"))) as image:
        assert function_bounds(image, expected["first"][0]) is None


def test_what_is_damaged_in_a_static_program(compile_c: Callable[..., Path]) -> None:
    """What stands before it is known."""
    path = compile_c(SOURCE, "-Wl,--no-eh-frame-hdr")
    known = functions(path)
    with ElfImage.open(str(path)) as image:
        section = image.section(".eh_frame")
        assert section is not None
    content = bytearray(path.read_bytes())
    places = []
    position = section.offset
    while length := struct.unpack_from("<I", content, position)[0]:
        if struct.unpack_from("<I", content, position + 4)[0]:
            places.append(position)
        position += 4 + length
    last = places[-1]
    for damage in (struct.pack("<I", 3), struct.pack("<I", 0xFFFFFFFF), struct.pack("<II", 20, 1 << 20)):
        damaged = bytearray(content)
        damaged[last : last + len(damage)] = damage
        path.write_bytes(damaged)
        with ElfImage.open(str(path)) as image:
            found = [bounds for bounds in known.values() if function_bounds(image, bounds[0]) == bounds]
        assert len(found) == len(places) - 1, damage


def test_nothing_is_known_without_a_table(compile_c: Callable[..., Path]) -> None:
    for option in ("-Wl,--no-eh-frame-hdr", "-fno-unwind-tables"):
        source = "int first(int x) { return x * 3; }"
        path = compile_c(source, "-fno-asynchronous-unwind-tables", option)
        with ElfImage.open(str(path)) as image:
            assert function_bounds(image, functions(path)["first"][0]) is None


HEADER = bytes([1, 0x1B, 3, 0x3B])
ROWS = FRAMES + 12
CIE, FDE = FRAMES + 0x100, FRAMES + 0x200


def frames(
    *,
    header: bytes = HEADER,
    count: int = 3,
    cie: bytes = b"\1zR\0\1\x78\x1e\1\x1b",
    fde: bytes = struct.pack("<iI", CODE - FDE - 8, 0x20),
    fde_length: int | None = None,
    distance: int = FDE + 4 - CIE,
    rows: bytes | None = None,
) -> bytes:
    """.eh_frame_hdr with three functions, of which only the second has an entry in .eh_frame."""
    if rows is None:
        starts = (CODE - 0x100, CODE, CODE + 0x100)
        rows = b"".join(struct.pack("<ii", start - FRAMES, FDE - FRAMES) for start in starts)
    content = header + struct.pack("<iI", 0, count) + rows
    content += bytes(CIE - FRAMES - len(content)) + struct.pack("<II", len(cie) + 4, 0) + cie
    content += bytes(FDE - FRAMES - len(content))
    length = len(fde) + 4 if fde_length is None else fde_length
    return content + struct.pack("<II", length, distance) + fde


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
@pytest.mark.parametrize(
    ("cie", "fde"),
    [
        (b"\1zR\0\1\x78\x1e\1\x1b", ("<iI", CODE - FDE - 8)),
        (b"\3zR\0\4\x78\x9e\x80\0\1\x1b", ("<iI", CODE - FDE - 8)),  # the register as a LEB128
        (b"\1zRB\0\4\x78\x1e\1\x1b", ("<iI", CODE - FDE - 8)),  # signed return addresses
        (b"\1zRS\0\1\x78\x1e\1\x1b", ("<iI", CODE - FDE - 8)),
        (b"\1zPLR\0\1\x78\x1e\7\x9b\1\2\3\4\x1b\x1b", ("<iI", CODE - FDE - 8)),
        (b"\1zPLR\0\1\x78\x1e\x0b\0\1\2\3\4\5\6\7\x08\x1b\x03", ("<II", CODE)),
        (b"\1zR\0\1\x78\x1e\1\x03", ("<II", CODE)),
        (b"\1zR\0\1\x78\x1e\1\x0b", ("<iI", CODE)),
        (b"\1zR\0\1\x78\x1e\1\x00", ("<QQ", CODE)),
        (b"\1zR\0\1\x78\x1e\1\x1c", ("<qQ", CODE - FDE - 8)),
        (b"\1zR\0\1\x78\x1e\1\x14", ("<QQ", CODE - FDE - 8 & (1 << 64) - 1)),
        (b"\1\0\1\x78\x1e", ("<QQ", CODE)),
    ],
)
def test_encodings(machine: int, cie: bytes, fde: tuple[str, int]) -> None:
    content = frames(cie=cie, fde=struct.pack(fde[0], fde[1], 0x20))
    with dynamic_image(bytes(64), machine, frames=content) as image:
        assert function_bounds(image, CODE) == (CODE, CODE + 0x20)
        assert function_bounds(image, CODE + 0x1F) == (CODE, CODE + 0x20)
        assert function_bounds(image, CODE + 0x20) is None
        assert function_bounds(image, CODE - 0x200) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"header": bytes([2, 0x1B, 3, 0x3B])}, "unknown way"),
        ({"header": bytes([1, 0x1B, 3, 0x1B])}, "unknown way"),
        ({"header": bytes([1, 0x1B, 4, 0x3B])}, "unknown way"),
        ({"count": 0x1000}, "no room for 4096 entries"),
        ({"count": 0xFFFFFFFF}, "no room"),
        ({"rows": struct.pack("<ii", CODE - FRAMES, 0x7FFFFFFF) * 3}, "no loaded segment"),
        ({"rows": struct.pack("<ii", CODE - FRAMES, CIE - FRAMES) * 3}, "no function's entry"),
        ({"rows": struct.pack("<ii", CODE - 4 - FRAMES, FDE - FRAMES) * 3}, "for a function"),
        ({"fde_length": 0}, "no function's entry"),
        ({"fde_length": 0xFFFFFFFF}, "no function's entry"),
        ({"distance": 0}, "no function's entry"),
        ({"distance": 0x7FFFFFFF}, "no function's entry"),
        ({"distance": FDE + 4}, "no loaded segment"),
        ({"distance": FDE + 4 - ROWS}, "not understood"),  # leads to .eh_frame_hdr
        ({"fde": b""}, "no function's entry"),
        ({"fde": bytes(2)}, "ends at"),
        ({"fde": struct.pack("<ii", CODE - FDE - 8, -1)}, "about no function"),
        ({"cie": b"\1\0\1\x78\x1e", "fde": struct.pack("<QQ", CODE, (1 << 64) - CODE)}, "about no function"),
        ({"cie": b"\2zR\0\1\x78\x1e\1\x1b"}, "not understood"),
        ({"cie": b"\1eh\0\1\x78\x1e\1\x1b"}, "not understood"),
        ({"cie": b"\1zXR\0\1\x78\x1e\1\x1b\x1b"}, "not understood"),
        ({"cie": b"\1zPR\0\1\x78\x1e\1\x50\x1b\x1b"}, "not understood"),
        ({"cie": b"\1z" + b"S" * 80}, "not understood"),
        ({"cie": b"\1zR\0" + b"\x80" * 70}, "not understood"),
        ({"cie": b"\1zR\0\1\x78\x1e\1\x2b"}, "unknown encoding 0x2b"),
        ({"cie": b"\1zR\0\1\x78\x1e\1\x9b"}, "unknown encoding 0x9b"),
        ({"cie": b"\1zR\0\1\x78\x1e\1\x1a"}, "unknown encoding 0x1a"),
        ({"cie": b"\1zR\0\1\x78\x1e\1\xff"}, "unknown encoding 0xff"),
    ],
)
def test_what_is_unknown_or_absurd_is_refused(changed: dict[str, object], message: str) -> None:
    with (
        dynamic_image(bytes(64), frames=frames(**changed)) as image,  # type: ignore[arg-type]
        pytest.raises(ElfError, match=f"^image: .*{message}"),
    ):
        function_bounds(image, CODE)


def test_an_omitted_table() -> None:
    for header in (bytes([1, 0x1B, 0xFF, 0x3B]), bytes([1, 0x1B, 3, 0xFF])):
        with dynamic_image(bytes(64), frames=frames(header=header)) as image:
            assert function_bounds(image, CODE) is None


def test_the_search_is_a_binary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may claim millions of functions."""
    rows = b"".join(struct.pack("<ii", CODE + 16 * n - FRAMES, 0x7FFFFFFF) for n in range(1 << 16))
    content = HEADER + struct.pack("<iI", 0, 1 << 16) + rows
    with dynamic_image(bytes(64), frames=content) as image:
        reads = []
        read = image.read
        monkeypatch.setattr(image, "read", lambda *where: reads.append(where) or read(*where))
        with pytest.raises(ElfError, match="no loaded segment"):
            function_bounds(image, CODE + 16 * 12345 + 3)
        assert len(reads) <= 20
        assert reads[-1][0] == FRAMES + 0x7FFFFFFF
