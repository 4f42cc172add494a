from __future__ import annotations

import platform
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.discovery.dynamic_elves import (
    CODE,
    DATA,
    X86_64,
    dynamic_image,
    without_sections,
)

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.imports import call_sites, in_plt_section, stub_slot
from tlstap.discovery.relocations import Relocations

SOURCE = """
    extern int wanted(int), other(int);
    int exported(int x) { return x + 1; }
    int calls(int x) { return wanted(x) + wanted(x + 1) + other(x); }
    int jumps(int x) { return wanted(x + 5); }
    int jumps_sometimes(int x) { if (x > 7) return wanted(x); return other(x * 3); }
    int calls_others(int x) { return other(x) + other(2); }
    int (*pointer(void))(int) { return wanted; }
    int calls_own(int x) { return exported(x) * 3; }
"""
# On aarch64, objdump does not say where a call through a register goes.
NO_PLT = ("-fno-plt",) if platform.machine() == "x86_64" else ()
BRANCH_PROTECTION = {"x86_64": "-fcf-protection=full", "aarch64": "-mbranch-protection=standard"}[
    platform.machine()
]

# `call 1030 <wanted@plt>`, `bl 1030 <wanted@plt>`
DIRECT = re.compile(
    r"^ *([0-9a-f]+):\t(?:bnd )?(?:call|jmp|j[a-z]+|bl|b)\s[^#\n]*<(\w+)(?:@plt)?>$", re.MULTILINE
)
# `jmp *0x2fd2(%rip) # 3ff8 <wanted>`, where objdump knows some of the names
INDIRECT = re.compile(r"^ *(\w+):\t(?:bnd )?(?:call|jmp) +\*0x\w+\(%rip\) +# (\w+) <", re.MULTILINE)
SLOT = re.compile(r"^0*(\w+) .* R_\w+_(?:GLOB_DAT|JUMP_SLO\w*) +\w+ (\w+)", re.MULTILINE)


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def branches(path: Path, name: str) -> list[int]:
    """Where objdump sees calls of a function, and jumps to it."""
    text = run("objdump", "-d", "--no-show-raw-insn", "-j", ".text", path)
    slots = dict(SLOT.findall(run("readelf", "-rW", path)))
    found = [address for address, target in DIRECT.findall(text) if target == name]
    found += [address for address, slot in INDIRECT.findall(text) if slots.get(slot) == name]
    return sorted(int(address, 16) for address in found)


def sites(image: ElfImage, name: str) -> list[int]:
    return call_sites(image, Relocations(image), name)


@pytest.mark.parametrize("how", ["as it is", "stripped", "no sections"])
@pytest.mark.parametrize("binding", ["-Wl,-z,lazy", "-Wl,-z,now", "-Wl,-z,ibtplt", "-Wl,-z,norelro"])
@pytest.mark.parametrize(
    "options", [(), ("-O0",), NO_PLT, (BRANCH_PROTECTION,), (BRANCH_PROTECTION, *NO_PLT)]
)
def test_calls_of_an_imported_function(
    compile_c: Callable[..., Path], tmp_path: Path, options: tuple[str, ...], binding: str, how: str
) -> None:
    path = compile_c(SOURCE, *options, binding)
    expected = {name: branches(path, name) for name in ("wanted", "other", "exported")}
    assert [len(found) for found in expected.values()] == [4, 4, 1]
    if how == "stripped":
        subprocess.run(["strip", "--strip-all", path], check=True)
    elif how == "no sections":
        path = without_sections(path, tmp_path / "lib.so")
    with ElfImage.open(str(path)) as image:
        assert {name: sites(image, name) for name in expected} == expected
        assert sites(image, "absent") == []


@pytest.mark.parametrize("options", [("-Wl,-Bsymbolic",), ("-fvisibility=protected",)])
def test_direct_calls_of_a_function_of_the_image_itself(
    compile_c: Callable[..., Path], options: tuple[str, ...]
) -> None:
    path = compile_c(SOURCE, "-fno-inline", *options)
    expected = branches(path, "exported")
    with ElfImage.open(str(path)) as image:
        assert not any(name == "exported" for name in Relocations(image).slots.values())
        assert sites(image, "exported") == expected
        assert len(expected) == 1


@pytest.mark.parametrize("binding", ["-Wl,-z,lazy", "-Wl,-z,now"])
def test_stubs_lead_to_the_slots_of_their_functions(compile_c: Callable[..., Path], binding: str) -> None:
    path = compile_c(SOURCE, BRANCH_PROTECTION, binding)
    with ElfImage.open(str(path)) as image:
        slots = Relocations(image).slots
        text = run("objdump", "-d", path)
        stubs = {
            int(a, 16): name for a, name in re.findall(r"^([0-9a-f]+) <(\w+)@plt>:$", text, re.MULTILINE)
        }
        assert {*stubs.values()} == {"wanted", "other", "exported"}
        for address, name in stubs.items():
            slot = stub_slot(image, address)
            assert slot is not None
            assert slots[slot] == name
            assert in_plt_section(image, address)
        calls = image.symbols(["calls"])["calls"].address
        assert stub_slot(image, calls) is None
        assert not in_plt_section(image, calls)
    assert stub_slot(image, 1 << 62) is None


def distance(opcode: bytes, target: int) -> bytes:
    return opcode + struct.pack("<i", target)


ENDBR64 = b"\xf3\x0f\x1e\xfa"


@pytest.mark.parametrize(
    "stub",
    [
        b"\xff\x25",
        b"\xf2\xff\x25",
        ENDBR64 + b"\xff\x25",
        ENDBR64 + b"\xf2\xff\x25",
        ENDBR64 + b"\x41\xbb\x05\x00\x00\x00\xff\x25",  # mov r11d, 5, as mold has it
    ],
)
def test_stubs_of_x86_64(stub: bytes) -> None:
    code = distance(b"\xe8", 0x20 - 5) + b"\x67" + distance(b"\xe8", 0x20 - 11) + b"\xc3" * 21
    code += stub + struct.pack("<i", DATA - CODE - 0x20 - len(stub) - 4) + b"\xcc" * 16
    relocations = [(DATA, 7, 1, 0)]
    with dynamic_image(code, X86_64, symbols=["wanted"], plt_relocations=relocations) as image:
        assert stub_slot(image, CODE + 0x20) == DATA
        assert stub_slot(image, CODE) is None
        assert sites(image, "wanted") == [CODE, CODE + 6]


def words(*instructions: int) -> bytes:
    return struct.pack(f"<{len(instructions)}I", *instructions)


NOP, RET, BTI_C = 0xD503201F, 0xD65F03C0, 0xD503245F
ADRP_X16, LDR_X17, ADD_X16, BR_X17 = 0x90000090, 0xF9400A11, 0x91004210, 0xD61F0220  # of DATA + 16
AUTIA1716 = 0xD503219F
ADRP_X0, LDR_X1, BLR_X1, BR_X1 = 0x90000080, 0xF9400801, 0xD63F0020, 0xD61F0020
MOV_W0 = 0x52800020


def bl(start: int, target: int) -> int:
    return 0x94000000 | (target - start) >> 2 & 0x3FFFFFF


def b(start: int, target: int) -> int:
    return 0x14000000 | (target - start) >> 2 & 0x3FFFFFF


@pytest.mark.parametrize(
    "stub",
    [
        (ADRP_X16, LDR_X17, ADD_X16, BR_X17),
        (BTI_C, ADRP_X16, LDR_X17, ADD_X16, BR_X17),
        (BTI_C, ADRP_X16, LDR_X17, ADD_X16, AUTIA1716, BR_X17),
    ],
)
def test_stubs_of_aarch64(stub: tuple[int, ...]) -> None:
    code = words(bl(0, 0x20), RET, NOP, b(0xC, 0x20), bl(0x10, 0x40), RET, NOP, NOP, *stub)
    code += words(*[NOP] * (8 - len(stub)), ADRP_X16, LDR_X17 + (1 << 10), ADD_X16, BR_X17)  # another slot
    relocations = [(DATA + 16, 1026, 1, 0), (DATA + 24, 1026, 2, 0)]
    with dynamic_image(code, symbols=["wanted", "other"], plt_relocations=relocations) as image:
        assert stub_slot(image, CODE + 0x20) == DATA + 16
        assert stub_slot(image, CODE + 0x40) == DATA + 24
        assert stub_slot(image, CODE) is None
        assert sites(image, "wanted") == [CODE, CODE + 0xC]
        assert sites(image, "other") == [CODE + 0x10]


def test_what_is_no_stub_on_aarch64() -> None:
    """The linker's way to a function that is far away, and a load of another register."""
    far = words(ADRP_X16, ADD_X16, 0xD61F0200)  # br x16
    other = words(ADRP_X16, LDR_X17 + 1, BR_X17)
    with dynamic_image(far + other + words(BTI_C), symbols=["wanted"]) as image:
        assert [stub_slot(image, CODE + at) for at in (0, 12, 24)] == [None, None, None]


def test_calls_through_registers_on_aarch64() -> None:
    """Without a linkage table: adrp x0, ...; ldr x1, [x0, ...]; blr x1, with others between them."""
    call = (ADRP_X0, NOP, LDR_X1, MOV_W0, BLR_X1, RET)
    jump = (ADRP_X0, LDR_X1, BR_X1)
    other_page = (ADRP_X0 + (1 << 5), LDR_X1, BLR_X1)
    other_slot = (ADRP_X0, LDR_X1 + (1 << 10), BLR_X1)
    no_call = (ADRP_X0, LDR_X1, RET)
    code = words(*call, *jump, *other_page, *other_slot, *[NOP] * 20, *no_call, *[NOP] * 20)
    with dynamic_image(code, symbols=["wanted"], relocations=[(DATA + 16, 1025, 1, 0)]) as image:
        assert sites(image, "wanted") == [CODE + 16, CODE + 32]


@pytest.mark.parametrize("size", [*range(256, 288), 320])
def test_code_is_looked_at_piece_by_piece(
    compile_c: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = compile_c(SOURCE, "-Wl,-z,now")
    expected = branches(path, "wanted")
    # On aarch64 pieces begin at instructions, as 1 MiB does.
    monkeypatch.setattr("tlstap.discovery.elf._CHUNK", size if platform.machine() == "x86_64" else 256)
    with ElfImage.open(str(path)) as image:
        assert sites(image, "wanted") == expected
