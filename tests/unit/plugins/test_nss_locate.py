"""The locator, on small libraries that are shaped like NSS's libssl3 and NSPR's libnspr4."""

from __future__ import annotations

import gc
import platform
import struct
import subprocess
import weakref
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from tests.unit.discovery.dynamic_elves import CODE, DATA, FRAMES, dynamic_image

from tlstap.discovery.elf import ElfImage
from tlstap.plugins.nss.locate import SLOTS, locate

# prio.h: a word that says of which kind the descriptor is, and 35 functions.
NSPR = """
    struct PRIOMethods { int file_type; int (*functions[35])(void *, long); };
"""
DEFAULTS = """
    static const struct PRIOMethods pl_methods = {4, {TABLE(pl)}};
    const struct PRIOMethods *PR_GetDefaultIOMethods(void) { return &pl_methods; }
    int PR_GetUniqueIdentity(const char *name) { return name[0]; }
    int PR_EmulateAcceptRead(void *fd, long n) { return *(int *)fd + 7 * n; }
"""
# sslsock.c's ssl_SetupIOMethods, in short: the default table, and the library's own functions over it.
SETUP = """
    extern const struct PRIOMethods *PR_GetDefaultIOMethods(void);
    extern int PR_GetUniqueIdentity(const char *), PR_EmulateAcceptRead(void *, long);
    static int identity, inited;
    static const struct PRIOMethods ssl_methods = {KIND, {TABLE(ssl)}};
    static struct PRIOMethods combined_methods;
    static INLINE void ssl_SetupIOMethods(void) {
        struct PRIOMethods *new_methods = &combined_methods;
        const struct PRIOMethods *nspr_methods = PR_GetDefaultIOMethods();
        const struct PRIOMethods *my_methods = &ssl_methods;
        *new_methods = *nspr_methods;
        new_methods->file_type = my_methods->file_type;
        COPIES
    }
    static int ssl_InitIOLayer(void) {
        identity = PR_GetUniqueIdentity("SSL");
        ssl_SetupIOMethods();
        inited = 1;
        return 0;
    }
    extern int PR_CallOnce(int *, int (*)(void));
    struct PRIOMethods *ssl_PushIOLayer(void) {
        PR_CallOnce(&inited, ssl_InitIOLayer);
        return &combined_methods;
    }
    struct PRIOMethods *SSL_ImportFD(void) { return ssl_PushIOLayer(); }
"""
STATIC = """
    static const struct PRIOMethods ssl_methods = {KIND, {TABLE(ssl)}};
    const struct PRIOMethods *SSL_ImportFD(void) { return &ssl_methods; }
"""
NAMES = {1: "Close", 2: "Read", 3: "Write", 11: "WriteV", 13: "Accept", 17: "Recv", 18: "Send"}
OWN = (*range(1, 22), 23, 24, 25)
"""The slots that NSS fills with functions of its own; 22 is PR_EmulateAcceptRead, which is not its own."""


def name_of(prefix: str, slot: int) -> str:
    return f"{prefix}_{NAMES.get(slot, f'Slot{slot}')}"


def functions(prefix: str, slots: tuple[int, ...] = OWN) -> str:
    """All of them different, and too large to be inlined."""
    return "".join(
        f"static __attribute__((noinline)) int {name_of(prefix, slot)}(void *fd, long n) "
        f"{{ return ((int *)fd)[{slot}] * {slot + 5} + n; }}\n"
        for slot in slots
    )


def table(prefix: str, slots: tuple[int, ...] = OWN) -> str:
    return ", ".join(f"[{slot - 1}] = {name_of(prefix, slot)}" for slot in slots)


def copies(slots: tuple[int, ...] = OWN) -> str:
    assignments = [
        f"new_methods->functions[{slot - 1}] = my_methods->functions[{slot - 1}];" for slot in slots
    ]
    return "".join([*assignments, "new_methods->functions[21] = PR_EmulateAcceptRead;"])


def filled(slots: tuple[int, ...] = OWN, kind: int = 4, inline: str = "inline") -> str:
    text = SETUP.replace("TABLE(ssl)", table("ssl", slots)).replace("COPIES", copies(slots))
    return NSPR + functions("ssl", slots) + text.replace("KIND", str(kind)).replace("INLINE", inline)


def static(slots: tuple[int, ...] = OWN, kind: int = 4) -> str:
    text = STATIC.replace("TABLE(ssl)", table("ssl", slots)).replace("KIND", str(kind))
    return NSPR + functions("ssl", slots) + text


def defaults() -> str:
    return functions("pl") + DEFAULTS.replace("TABLE(pl)", table("pl"))


def build(
    folder: Path, source: str, *options: str, strip: bool = True, nspr: bool = True
) -> tuple[Path, Path]:
    """The library, stripped or not, linked with NSPR or not, and the same with symbols."""
    (folder / "nspr.c").write_text(NSPR + defaults())
    (folder / "ssl.c").write_text(source)
    libnspr, symbols, library = folder / "libnspr4.so", folder / "libssl3.debug", folder / "libssl3.so"
    command = ["gcc", "-O2", "-shared", "-fPIC", "-nostdlib"]
    subprocess.run([*command, "-o", libnspr, folder / "nspr.c"], check=True)
    libraries = [libnspr] if nspr else []
    subprocess.run([*command, "-o", symbols, folder / "ssl.c", *options, *libraries], check=True)
    subprocess.run(["strip", *([] if strip else ["--strip-debug"]), "-o", library, symbols], check=True)
    return library, symbols


def truth(symbols: Path, prefix: str = "ssl") -> dict[str, int]:
    with symbols.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".symtab")
        addresses = {symbol.name: int(symbol["st_value"]) for symbol in section.iter_symbols()}
    return {function: addresses[function.replace("ssl", prefix)] for function in SLOTS}


def located(library: Path) -> dict[str, int | None]:
    with ElfImage.open(str(library)) as image:
        return {function: locate(image, function) for function in SLOTS}


NOTHING = dict.fromkeys(SLOTS)
MACHINE = {
    "x86_64": [
        "-march=haswell",
        "-fcf-protection=full",
        "-mno-sse",
        "-minline-all-stringops",
        "-mcmodel=medium",
    ],
    "aarch64": ["-mbranch-protection=standard"],
}[platform.machine()]


def test_slots_are_those_of_prio_h() -> None:
    assert {f"ssl_{NAMES[slot]}": slot for slot in SLOTS.values()} == SLOTS


@pytest.mark.parametrize("options", ["", "-fno-plt", "-Wl,-z,now", "-Wl,-z,lazy", "-fno-builtin", *MACHINE])
@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3", "-Os"])
def test_a_table_that_the_library_fills(tmp_path: Path, level: str, options: str) -> None:
    library, symbols = build(tmp_path, filled(), level, *options.split())
    assert located(library) == truth(symbols)


@pytest.mark.parametrize("strip", [True, False])
def test_a_function_of_its_own_fills_the_table(tmp_path: Path, strip: bool) -> None:
    library, symbols = build(tmp_path, filled(inline="__attribute__((noinline))"), strip=strip)
    assert located(library) == truth(symbols)


@pytest.mark.parametrize("strip", [True, False])
@pytest.mark.parametrize("options", ["", "-O0", "-Wl,-z,pack-relative-relocs", "-Wl,-z,norelro"])
def test_a_constant_table(tmp_path: Path, options: str, strip: bool) -> None:
    library, symbols = build(tmp_path, static(), *options.split(), strip=strip)
    assert located(library) == truth(symbols)


def test_knows_no_other_functions(tmp_path: Path) -> None:
    library, symbols = build(tmp_path, filled(), strip=False)
    with ElfImage.open(str(library)) as image:
        assert locate(image, "ssl_Read") == truth(symbols)["ssl_Read"]
        assert "ssl_Slot4" in image.symbols(["ssl_Slot4"])
        assert locate(image, "ssl_Slot4") is None


@pytest.mark.parametrize("make", [filled, static])
def test_needs_twenty_functions_of_its_own(tmp_path: Path, make: object) -> None:
    assert callable(make)
    enough, too_few = OWN[:20], OWN[:19]
    assert {*SLOTS.values()} <= {*too_few}
    library, symbols = build(tmp_path, make(enough))
    assert located(library) == truth(symbols)
    library, _ = build(tmp_path, make(too_few))
    assert located(library) == NOTHING


@pytest.mark.parametrize("make", [filled, static])
@pytest.mark.parametrize("missing", SLOTS.values())
def test_needs_all_five(tmp_path: Path, make: object, missing: int) -> None:
    assert callable(make)
    slots = tuple(slot for slot in OWN if slot != missing)
    assert len(slots) >= 20
    library, _ = build(tmp_path, make(slots))
    assert located(library) == NOTHING


@pytest.mark.parametrize("make", [filled, static])
@pytest.mark.parametrize("kind", [0, 3, 5, 0x104, -4])
def test_refuses_tables_of_other_kinds(tmp_path: Path, make: object, kind: int) -> None:
    assert callable(make)
    library, _ = build(tmp_path, make(kind=kind))
    assert located(library) == NOTHING


@pytest.mark.parametrize("make", [filled, static])
def test_refuses_one_function_for_two_operations(tmp_path: Path, make: object) -> None:
    assert callable(make)
    source = make().replace("= ssl_Recv", "= ssl_Read")
    library, _ = build(tmp_path, source, "-Wno-unused-function")
    assert located(library) == NOTHING


def second_static(name: str) -> str:
    return f"""
        const struct PRIOMethods other = {{4, {{{table(name)}}}}};
    """


@pytest.mark.parametrize("make", [filled, static])
def test_refuses_two_tables(tmp_path: Path, make: object) -> None:
    assert callable(make)
    other = functions("other") + second_static("other")
    library, _ = build(tmp_path, make() + other)
    assert located(library) == NOTHING


@pytest.mark.parametrize("make", [filled, static])
def test_two_tables_with_the_same_functions_are_no_doubt(tmp_path: Path, make: object) -> None:
    """Without optimisation, the constant table from which the other one is filled stays."""
    assert callable(make)
    library, symbols = build(tmp_path, make() + second_static("ssl"))
    assert located(library) == truth(symbols)


def test_refuses_two_functions_that_fill_tables(tmp_path: Path) -> None:
    second = filled().replace(NSPR, "")
    for name in ("ssl_", "SSL_", "identity", "inited", "combined"):
        second = second.replace(name, f"other_{name}")
    library, _ = build(tmp_path, filled() + second)
    assert located(library) == NOTHING


def test_what_fills_a_table_must_ask_for_the_default_one(tmp_path: Path) -> None:
    """A function that stores such a table, but from elsewhere; and one that only asks."""
    source = filled().replace("nspr_methods = PR_GetDefaultIOMethods()", "nspr_methods = elsewhere()")
    source = f"extern void *elsewhere(void);\n{source}"
    asks = "int asks(void) { return PR_GetDefaultIOMethods()->file_type; }"
    library, _ = build(tmp_path, source + asks)
    assert located(library) == NOTHING


def test_the_default_table_in_the_same_image_is_not_taken(tmp_path: Path) -> None:
    """A library that has NSPR in it: its own default table is of the same kind, and constant."""
    together = filled().replace(SETUP.splitlines()[1], "").replace(SETUP.splitlines()[2], "")
    source = together.replace(NSPR, NSPR + defaults().replace("TABLE(pl)", table("pl")), 1)
    library, symbols = build(tmp_path, source, nspr=False)
    assert located(library) == truth(symbols)
    assert truth(symbols) != truth(symbols, "pl")
    alone, _ = build(tmp_path, NSPR + defaults(), nspr=False)
    assert located(alone) == NOTHING


def test_refuses_too_many_callers(tmp_path: Path) -> None:
    callers = "".join(
        f"int caller_{n}(void) {{ return PR_GetDefaultIOMethods()->file_type * {n + 3}; }}\n"
        for n in range(17)
    )
    library, symbols = build(tmp_path, filled() + callers.partition("int caller_15")[0])
    assert located(library) == truth(symbols)
    library, _ = build(tmp_path, filled() + callers)
    assert located(library) == NOTHING


def test_needs_unwind_tables_only_to_see_how_a_table_is_filled(tmp_path: Path) -> None:
    option = "-fno-asynchronous-unwind-tables"
    library, _ = build(tmp_path, filled(), option)
    assert located(library) == NOTHING
    library, symbols = build(tmp_path, static(), option)
    assert located(library) == truth(symbols)


def test_malformed_tables_are_no_answer(tmp_path: Path) -> None:
    library, symbols = build(tmp_path, filled())
    assert located(library) == truth(symbols)
    content = bytearray(library.read_bytes())
    with library.open("rb") as file:
        segment = next(s for s in ELFFile(file).iter_segments() if s["p_type"] == "PT_GNU_EH_FRAME")
        content[segment["p_offset"]] ^= 0xFF
    library.write_bytes(content)
    assert located(library) == NOTHING


def test_the_analysis_is_made_once_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, symbols = build(tmp_path, filled())
    reads = []
    pread = ElfImage.pread

    def counted(image: ElfImage, offset: int, size: int, what: str) -> bytes:
        reads.append(offset)
        return pread(image, offset, size, what)

    monkeypatch.setattr(ElfImage, "pread", counted)
    image = ElfImage.open(str(library))
    assert locate(image, "ssl_Read") == truth(symbols)["ssl_Read"]
    count = len(reads)
    assert {function: locate(image, function) for function in SLOTS} == truth(symbols)
    assert len(reads) == count
    # Nothing is kept of an image that is gone.
    image.close()
    gone = weakref.ref(image)
    del image
    gc.collect()
    assert gone() is None


def aarch64_library(slots: tuple[int, ...] = OWN) -> ElfImage:
    """At CODE + 0x20, a function that calls PR_GetDefaultIOMethods (its stub is at CODE) and fills DATA."""

    def adrp(register: int, address: int) -> int:
        pages = (address >> 12) - (CODE >> 12)
        return 0x90000000 | (pages & 3) << 29 | (pages >> 2) << 5 | register

    def add(register: int, offset: int) -> int:
        return 0x91000000 | offset << 10 | register << 5 | register

    stub = [adrp(16, DATA), 0xF9400211 | (0x180 >> 3) << 10, 0x91060210, 0xD61F0220]  # ldr x17, add, br x17
    code = [*stub, *[0xD503201F] * 4, 0xA9BF7BFD, 0x94000000 | (-9 & 0x3FFFFFF)]  # stp x29, x30; bl
    code += [adrp(0, DATA), 0x52800081, 0xB9000001]  # mov w1, #4; str w1, [x0]
    for slot in slots:
        code += [adrp(2, CODE), add(2, 0x800 + 16 * slot), 0xF9000002 | slot << 10]  # str x2, [x0, #8 * slot]
    code += [0xA8C17BFD, 0xD65F03C0]  # ldp x29, x30; ret
    text = struct.pack(f"<{len(code)}I", *code)
    text += bytes(0xA00 - len(text))
    header = bytes([1, 0x1B, 3, 0x3B]) + struct.pack("<iIii", 0, 1, CODE + 0x20 - FRAMES, 0x40)
    cie = struct.pack("<II", 16, 0) + b"\1zR\0\4\x78\x1e\1\x1b\0\0\0"
    fde = struct.pack("<IIiI", 16, 0x44 - 0x20, CODE + 0x20 - (FRAMES + 0x48), 4 * len(code) - 0x20)
    frames = (header + bytes(0x20 - len(header)) + cie).ljust(0x40, b"\0") + fde
    relocations = [(DATA + 0x180, 1026, 1, 0)]
    return dynamic_image(text, plt_relocations=relocations, symbols=["PR_GetDefaultIOMethods"], frames=frames)


def test_a_table_that_an_aarch64_library_fills() -> None:
    with aarch64_library() as image:
        expected = {function: CODE + 0x800 + 16 * slot for function, slot in SLOTS.items()}
        assert {function: locate(image, function) for function in SLOTS} == expected
    with aarch64_library(OWN[:19]) as image:
        assert {function: locate(image, function) for function in SLOTS} == NOTHING
