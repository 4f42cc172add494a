from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from tests.unit.discovery.dynamic_elves import AARCH64, DATA, DYNAMIC, X86_64, dynamic_image, without_sections

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.relocations import MAX_RELOCATIONS, Relocations
from tlstap.errors import ElfError

# A table that is longer than what one bitmap of DT_RELR covers, with gaps, and one that begins elsewhere.
SOURCE = """
    extern int elsewhere(int);
    extern char outside[];
    int exported(int x) { return x + 1; }
    static int one(int x) { return x + 2; }
    static int two(int x) { return x + 3; }
    static char variable[16];
    int (*table[150])(int) = {one, two, [5] = one, [62] = two, [63] = one, [64] = two, [149] = one};
    void *other[4] = {0, &variable[3]};
    void *bound[4] = {(void *)elsewhere, (void *)exported, outside + 8, outside};
    int call(int x) { return elsewhere(x) + exported(x) + outside[1] + table[x](x) + (other[x] == bound[x]); }
"""

PACKED = "-Wl,-z,pack-relative-relocs"


def addresses(path: Path) -> dict[str, int]:
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {symbol.name: int(symbol["st_value"]) for symbol in table.iter_symbols()}


def finish(path: Path, how: str) -> Path:
    """The library as it is, or stripped, or without section headers."""
    target = path.with_name(f"{how}.so")
    if how == "stripped":
        subprocess.run(["strip", "--strip-all", "-o", target, path], check=True)
        return target
    return without_sections(path, target) if how == "no sections" else path


@pytest.mark.parametrize("how", ["as it is", "stripped", "no sections"])
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-O0",),
        ("-fno-plt",),
        ("-Wl,-z,now",),
        ("-Wl,-z,lazy",),
        ("-Wl,-z,norelro",),
        (PACKED,),
    ],
)
def test_what_the_loader_writes(compile_c: Callable[..., Path], options: tuple[str, ...], how: str) -> None:
    path = compile_c(SOURCE, *options)
    at = addresses(path)
    if options == (PACKED,) and platform.machine() == "x86_64":  # the only one for which ld can do it
        dynamic = subprocess.run(["readelf", "-dW", path], check=True, capture_output=True, text=True)
        assert "(RELR)" in dynamic.stdout
    with ElfImage.open(str(finish(path, how))) as image:
        relocations = Relocations(image)
        table = {0: "one", 1: "two", 5: "one", 62: "two", 63: "one", 64: "two", 149: "one"}
        expected = {at["table"] + 8 * index: at[name] for index, name in table.items()}
        assert relocations.relative == {**expected, at["other"] + 8: at["variable"] + 3}
        bound = {at["bound"]: "elsewhere", at["bound"] + 8: "exported", at["bound"] + 24: "outside"}
        assert bound.items() <= relocations.slots.items()
        got = {place: name for place, name in relocations.slots.items() if place not in bound}
        assert relocations.got == got.keys()
        # The variables' addresses are taken from slots of their own.
        assert set(got.values()) == {"elsewhere", "exported", "outside", "table", "other", "bound"}
        with_addend = at["bound"] + 16
        assert relocations.all_places == {*relocations.relative, *relocations.slots, with_addend}


@pytest.mark.parametrize(
    ("machine", "relative", "absolute", "glob_dat", "jump_slot", "other"),
    [(X86_64, 8, 1, 6, 7, 37), (AARCH64, 1027, 257, 1025, 1026, 1032)],
)
def test_kinds_of_relocations(
    machine: int, relative: int, absolute: int, glob_dat: int, jump_slot: int, other: int
) -> None:
    with dynamic_image(
        b"",
        machine,
        symbols=("first", "second"),
        relocations=[
            (DATA, relative, 0, 0x12345),
            (DATA + 8, absolute, 1, 0),
            (DATA + 16, absolute, 1, 4),
            (DATA + 24, glob_dat, 2, 0),
            (DATA + 32, other, 0, 0x12345),
            (DATA + 40, glob_dat, 0, 0),
        ],
        plt_relocations=[(DATA + 48, jump_slot, 1, 0)],
    ) as image:
        relocations = Relocations(image)
        assert relocations.relative == {DATA: 0x12345}
        assert relocations.slots == {DATA + 8: "first", DATA + 24: "second", DATA + 48: "first"}
        assert relocations.got == {DATA + 24, DATA + 48}
        assert relocations.all_places == {DATA + 8 * index for index in range(7)}


def test_packed_relocations() -> None:
    """Two words, a bitmap with the first and the last of 63 that follow, an empty one, one for the next."""
    data = b"".join(value.to_bytes(8, "little") for value in range(1000, 1200))
    bitmaps = [1 | 1 << 1 | 1 << 63, 1, 1 | 1 << 2]
    with dynamic_image(b"", packed=[DATA, DATA + 16, *bitmaps], data=data) as image:
        places = [0, 2, 3, 2 + 63, 2 + 63 + 63 + 2]
        assert Relocations(image).relative == {DATA + 8 * place: 1000 + place for place in places}


def test_an_image_without_dynamic_segment(compile_c: Callable[..., Path]) -> None:
    path = compile_c("int main(void) { return 0; }", "-static", shared=False)
    with ElfImage.open(str(path)) as image:
        assert not any(segment.type == "PT_DYNAMIC" for segment in image.segments)
        relocations = Relocations(image)
        assert (relocations.relative, relocations.slots, relocations.all_places) == ({}, {}, set())


RELA, RELASZ, STRTAB, SYMTAB, STRSZ, RELR, RELRSZ = 7, 8, 5, 6, 10, 36, 35


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({RELA: 1 << 62}, "no loaded segment"),
        ({RELASZ: 24 * 1000}, "not all in a loaded segment"),
        ({RELASZ: 24 * (MAX_RELOCATIONS + 1)}, "more than"),
        ({RELASZ: (1 << 64) - 1}, "more than"),
        ({RELR: 1 << 62}, "no loaded segment"),
        ({RELRSZ: 1 << 40}, "more than"),
        ({SYMTAB: DYNAMIC + 0xFFFF}, "no loaded segment"),
        ({STRTAB: 0}, "no loaded segment"),
        ({SYMTAB: None}, "names no table of symbols"),
        ({STRTAB: None}, "names no table of symbols"),
        ({STRSZ: 0}, "names no table of symbols"),
        ({STRSZ: 1 << 40}, "names no table of symbols"),
        ({STRSZ: 4}, "is not in the table of names"),
    ],
)
def test_absurd_tables(tags: dict[int, int | None], message: str) -> None:
    entries = [(DATA, 1025, 1, 0)]
    with dynamic_image(b"", symbols=["name"], relocations=entries, packed=[DATA], tags=tags) as image:
        relocations = Relocations(image)
        with pytest.raises(ElfError, match=f"^image: .*{message}"):
            print(relocations.relative, relocations.slots)


def test_a_table_without_place_or_size_is_none() -> None:
    entries = [(DATA, 1025, 1, 0)]
    for tag in (RELA, RELASZ):
        with dynamic_image(b"", symbols=["name"], relocations=entries, tags={tag: None}) as image:
            assert Relocations(image).slots == {}


def test_symbols_that_do_not_exist() -> None:
    for number, message in ((1000, "not all in a loaded segment"), (0xFFFFFFFF, "symbol 4294967295")):
        with (
            dynamic_image(b"", symbols=["name"], relocations=[(DATA, 1025, number, 0)]) as image,
            pytest.raises(ElfError, match=message),
        ):
            print(Relocations(image).slots)


@pytest.mark.parametrize("entry", [(1 << 64) - 1, DATA])
def test_bombs_of_packed_relocations(entry: int) -> None:
    """Few bytes that stand for too many words, or for words that are not in the file."""
    count = MAX_RELOCATIONS // 63 + 2 if entry & 1 else MAX_RELOCATIONS + 1
    with (
        dynamic_image(b"", packed=[DATA] + [entry] * count, data=bytes(8 * MAX_RELOCATIONS)) as image,
        pytest.raises(ElfError, match="more than"),
    ):
        print(Relocations(image).relative)
