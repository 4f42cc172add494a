from __future__ import annotations

import lzma
import os
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.elf_parts import ForeignElfError, NotElfError
from tlstap.errors import ElfError


def reference(path: Path, *tables: str) -> dict[str, int]:
    """Addresses of the functions that pyelftools finds in these tables."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        return {
            symbol.name: symbol["st_value"]
            for table in tables
            if (section := elf.get_section_by_name(table))
            for symbol in section.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
        }


def readelf(path: Path, option: str, pattern: str) -> list[str]:
    """What binutils' readelf prints, by a pattern with one group."""
    text = subprocess.run(["readelf", "-W", option, path], check=True, capture_output=True, text=True).stdout
    return re.findall(pattern, text, re.MULTILINE)


def test_reads_what_readelf_reads(small_library: Path) -> None:
    with ElfImage.open(str(small_library)) as image:
        rows = readelf(
            small_library, "-S", r"^ +\[ *\d+\] (.* +\w+ +[0-9a-f]{16} [0-9a-f]{6} [0-9a-f]{6} [0-9a-f]{2}) "
        )
        assert [row.split() for row in rows] == [
            f"{s.name} {s.type} {s.address:016x} {s.offset:06x} {s.file_size:06x} {s.entry_size:02x}".replace(
                "SHT_", ""
            ).split()
            for s in image.sections
        ]
        rows = readelf(small_library, "-l", r"^ +LOAD +(0x\w+ 0x\w+ 0x\w+ 0x\w+)")
        assert [(s.offset, s.address, s.file_size) for s in image.segments if s.type == "PT_LOAD"] == [
            (int(offset, 16), int(address, 16), int(size, 16))
            for offset, address, _, size in map(str.split, rows)
        ]
        assert [image.build_id] == readelf(small_library, "-n", r"Build ID: (\w+)")
        assert [f"{image.entry:x}"] == readelf(small_library, "-h", r"Entry point address: +0x(\w+)")
        (code,) = image.executable_segments()
        assert code.address <= image.symbols(["small_read"])["small_read"].address < code.address + 4096
        assert image.type == "shared"
        assert image.soname == "libsmall.so.1"
        assert image.interpreter is None


def test_reads_a_program_like_readelf() -> None:
    program = Path("/bin/sh").resolve()
    with ElfImage.open(str(program)) as image:
        assert list(image.needed) == readelf(program, "-d", r"\(NEEDED\).*\[(.*)\]")
        assert [image.interpreter] == readelf(program, "-l", r"program interpreter: (.*)\]")
        assert image.machine == os.uname().machine
        assert image.soname is None


def test_finds_functions_of_both_tables(small_library: Path) -> None:
    with ElfImage.open(str(small_library)) as image:
        found = image.symbols(["small_read", "hidden_part", "elsewhere", "version", "nothing"])
        assert {name: symbol.address for name, symbol in found.items()} == {
            name: address
            for name, address in reference(small_library, ".dynsym", ".symtab").items()
            if name in ("small_read", "hidden_part")
        }
        assert found["small_read"].table == "dynsym"
        assert found["hidden_part"].table == "symtab"
        assert image.exported_addresses() == set(reference(small_library, ".dynsym").values())


def test_finds_a_name_that_the_linker_merged_into_the_tail_of_another(
    compile_c: Callable[..., Path],
) -> None:
    path = compile_c("int my_own_read(void) { return 1; } int own_read(void) { return 2; }")
    with ElfImage.open(str(path)) as image:
        section = image.section(".dynstr")
        assert section is not None
        strings = image.pread(section.offset, section.file_size, "strings")
        assert strings.count(b"own_read\0") == 1, "this linker does not merge tails"
        found = image.symbols(["own_read"])
        assert found["own_read"].address == reference(path, ".dynsym")["own_read"]


def test_takes_the_default_version_of_a_versioned_function(
    compile_c: Callable[..., Path], tmp_path: Path
) -> None:
    script = tmp_path / "versions"
    script.write_text("OLD { }; NEW { global: moved; local: *; } OLD;")
    path = compile_c(
        """
        int old_moved(void) { return 1; }
        int new_moved(void) { return 2; }
        __asm__(".symver old_moved, moved@OLD");
        __asm__(".symver new_moved, moved@@NEW");
        """,
        f"-Wl,--version-script={script}",
        "-Wl,--undefined-version",
    )
    with ElfImage.open(str(path)) as image:
        assert image.symbols(["moved"])["moved"].address == reference(path, ".symtab")["new_moved"]


def test_refuses_a_name_that_stands_for_several_functions(
    compile_c: Callable[..., Path], tmp_path: Path
) -> None:
    second = tmp_path / "second.c"
    twin = "static __attribute__((noinline)) int twin(int x) { return x * FACTOR; } "
    second.write_text(twin.replace("FACTOR", "7") + "int two(int x) { return twin(x); }")
    path = compile_c(twin.replace("FACTOR", "9") + "int one(int x) { return twin(x); }", str(second))
    with ElfImage.open(str(path)) as image:
        lookup = image.find_symbols(["twin", "one"])
        assert lookup.found.keys() == {"one"}
        assert len(lookup.ambiguous["twin"]) == 2


def test_uses_the_compressed_symbols_of_a_stripped_file(small_library: Path, tmp_path: Path) -> None:
    expected = reference(small_library, ".symtab")["hidden_part"]
    debug, compressed, stripped = tmp_path / "debug", tmp_path / "debug.xz", tmp_path / "stripped.so"
    subprocess.run(["objcopy", "--only-keep-debug", small_library, debug], check=True)
    compressed.write_bytes(lzma.compress(debug.read_bytes()))
    subprocess.run(["strip", "--strip-all", "-o", stripped, small_library], check=True)
    with ElfImage.open(str(stripped)) as image:
        assert image.symbols(["hidden_part"]) == {}
    subprocess.run(["objcopy", "--add-section", f".gnu_debugdata={compressed}", stripped], check=True)
    with ElfImage.open(str(stripped)) as image:
        symbol = image.symbols(["hidden_part"])["hidden_part"]
        assert (symbol.address, symbol.table) == (expected, "gnu_debugdata")
        assert image.find_symbols(["hidden_part"], debug=False).found == {}


def test_uses_a_separate_debug_file_with_the_same_build_id_only(
    small_library: Path, compile_c: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlstap.discovery.symbols._DEBUG_FOLDER", str(tmp_path))
    stripped = tmp_path / "stripped.so"
    subprocess.run(["strip", "--strip-all", "-o", stripped, small_library], check=True)
    with ElfImage.open(str(stripped)) as image:
        assert image.build_id is not None
        debug = tmp_path / image.build_id[:2] / f"{image.build_id[2:]}.debug"
        debug.parent.mkdir()
        subprocess.run(["objcopy", "--only-keep-debug", small_library, debug], check=True)
        symbol = image.symbols(["hidden_part"])["hidden_part"]
        assert symbol.address == reference(small_library, ".symtab")["hidden_part"]
        assert symbol.table == "debug file"
        other = compile_c("static __attribute__((noinline,used)) int hidden_part(int x) { return x; }")
        subprocess.run(["objcopy", "--only-keep-debug", other, debug], check=True)
        assert image.symbols(["hidden_part"]) == {}


def test_a_decompression_bomb_is_cut_off(small_library: Path, tmp_path: Path) -> None:
    bomb, path = tmp_path / "bomb.xz", tmp_path / "bomb.so"
    bomb.write_bytes(lzma.compress(bytes(200 << 20), preset=0))
    subprocess.run(["strip", "--strip-all", "-o", path, small_library], check=True)
    subprocess.run(["objcopy", "--add-section", f".gnu_debugdata={bomb}", path], check=True)
    with ElfImage.open(str(path)) as image:
        assert image.symbols(["hidden_part", "small_read"]).keys() == {"small_read"}


def test_finds_text_in_the_data_and_not_elsewhere(small_library: Path) -> None:
    with ElfImage.open(str(small_library)) as image:
        assert image.contains(b"Small 1.2.3", b"hidden_part\0", b"Large") == {b"Small 1.2.3"}
        assert small_library.read_bytes().count(b"hidden_part\0") == 1


def test_finds_text_across_the_border_of_two_pieces(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ElfImage.open(str(small_library)) as image:
        for size in range(1, 40):
            monkeypatch.setattr("tlstap.discovery.elf._CHUNK", size)
            assert image.contains(b"Small 1.2.3") == {b"Small 1.2.3"}
            assert image.symbols(["small_read"]).keys() == {"small_read"}


def test_addresses_and_file_offsets(small_library: Path) -> None:
    content = small_library.read_bytes()
    with ElfImage.open(str(small_library)) as image:
        address = image.symbols(["small_read"])["small_read"].address
        offset = image.file_offset(address)
        assert offset is not None
        assert image.read(address, 8) == content[offset : offset + 8]
        assert image.is_code(address)
        assert not image.is_code(0)
        assert image.file_offset(1 << 62) is None
        with pytest.raises(ElfError, match="no loaded segment"):
            image.read(1 << 62, 1)


def test_a_descriptor_stays_the_callers(small_library: Path) -> None:
    fd = os.open(small_library, os.O_RDONLY)
    with ElfImage.from_fd(fd, "mine") as image:
        assert image.symbols(["small_read"])
    assert os.read(fd, 4) == b"\x7fELF"
    os.close(fd)


def test_refuses_what_is_no_regular_file_without_blocking(tmp_path: Path) -> None:
    fifo = tmp_path / "libssl.so.3"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(ElfError, match=rf"{path}: can't be opened: not a regular file"):
            ElfImage.open(str(path))
    with pytest.raises(ElfError, match="No such file"):
        ElfImage.open(str(tmp_path / "absent"))
    with pytest.raises(ElfError, match="null"):
        ElfImage.open("a\0b")


def test_tells_other_files_from_elf_files_of_other_machines(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"#!/bin/sh\n", b"\x7fEL"):
        path.write_bytes(content)
        with pytest.raises(NotElfError, match="not an ELF file"):
            ElfImage.open(str(path))
    header = bytearray(Path("/bin/sh").read_bytes())
    for offset, change in ((4, b"\x01"), (18, b"\x03\x00"), (16, b"\x01\x00")):
        path.write_bytes(header[:offset] + change + header[offset + len(change) :])
        with pytest.raises(ForeignElfError, match=str(path)):
            ElfImage.open(str(path))


def test_shown_path(tmp_path: Path) -> None:
    with pytest.raises(ElfError, match=r"^/lib/x\.so in container: "):
        ElfImage.open(str(tmp_path / "absent"), "/lib/x.so in container")


@pytest.mark.parametrize(
    ("offset", "form", "value", "message"),
    [
        (0x20, "<Q", 1 << 62, "program headers would end"),
        (0x28, "<Q", 1 << 62, "section headers would end"),
        (0x38, "<H", 0xFFFF, "65535 program headers"),
        (0x3A, "<H", 1, "section headers of 1 bytes"),
        (0x3C, "<H", 0xFFFF, "section headers would end"),
        (0x3E, "<H", 0xFFFF, "sections' names"),
    ],
)
def test_absurd_headers(
    small_library: Path, tmp_path: Path, offset: int, form: str, value: int, message: str
) -> None:
    content = bytearray(small_library.read_bytes())
    struct.pack_into(form, content, offset, value)
    path = tmp_path / "absurd.so"
    path.write_bytes(content)
    with pytest.raises(ElfError, match=message), ElfImage.open(str(path)) as image:
        image.symbols(["small_read"])
