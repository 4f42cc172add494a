"""Symbolic execution of what compilers make of C, and where it goes and ends."""

from __future__ import annotations

import platform
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.discovery.aarch64_pieces import execute_aarch64
from tests.unit.discovery.dynamic_elves import CODE, DATA, X86_64, dynamic_image
from tests.unit.discovery.real_execution import bounds_of, offsets_known, run_really, run_symbolically

from tlstap.discovery.relocations import Relocations
from tlstap.discovery.straight_line import MAX_INSTRUCTIONS, Call, Outcome, execute
from tlstap.discovery.symbolic import Address, Number, SymbolAddress, Value
from tlstap.discovery.unwind import Bounds
from tlstap.errors import ElfError

TABLE = """
    #include <string.h>
    #include <stdlib.h>
    struct methods { int kind; void (*functions[30])(void); };
    #define F(n) static __attribute__((noinline)) void f##n(void) { exit(n); }
    F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15) F(16) F(17) F(18)
    static const struct methods own = {
        4, {f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18}};
    static struct methods out;
    void *where(void) { return &out; }
    __attribute__((noinline)) const struct methods *defaults(void) {
        static struct methods m = {7};
        return &m;
    }
    void fill(void) {
        struct methods *m = &out;
        const struct methods *o = &own;
        *m = *defaults();
        m->kind = o->kind;
        m->functions[0] = o->functions[0]; m->functions[1] = o->functions[1];
        m->functions[2] = o->functions[2]; m->functions[3] = o->functions[3];
        m->functions[4] = o->functions[4]; m->functions[5] = o->functions[5];
        m->functions[6] = o->functions[6]; m->functions[7] = o->functions[7];
        m->functions[8] = o->functions[8]; m->functions[9] = o->functions[9];
        m->functions[10] = o->functions[10]; m->functions[11] = o->functions[11];
        m->functions[12] = (void (*)(void))free; m->functions[13] = o->functions[13];
        m->functions[14] = o->functions[14]; m->functions[15] = o->functions[15];
        m->functions[16] = (void (*)(void))calloc; m->functions[17] = o->functions[17];
        m->functions[18] = o->functions[18];
    }
"""
MACHINE_OPTIONS = {
    "x86_64": ["-march=haswell", "-march=x86-64-v2 -fcf-protection=full", "-mno-sse4 -mtune=core2"],
    "aarch64": ["-mbranch-protection=standard"],
}[platform.machine()]


@pytest.mark.parametrize("options", ["", "-fno-plt -Wl,-z,now", *MACHINE_OPTIONS])
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
def test_a_table_that_is_filled(compile_c: Callable[..., Path], level: str, options: str) -> None:
    path = compile_c(TABLE, level, "-nodefaultlibs", "-lc", *options.split())
    outcome = run_symbolically(path, "fill")
    real = run_really(path, "fill")["fill"]
    assert offsets_known(outcome, path, real) == {0, *range(8, 8 + 19 * 8, 8)}
    out = bounds_of(path, "out")[0]
    assert outcome.number(out, 4) == 4
    expected: dict[int, Value] = {12: SymbolAddress("free"), 16: SymbolAddress("calloc")}
    for number in {*range(19)} - {12, 16}:
        expected[number] = Address(bounds_of(path, f"f{number}")[0])
    assert {number: outcome.word(out + 8 + 8 * number) for number in range(19)} == expected
    defaults = {SymbolAddress("defaults"), Address(bounds_of(path, "defaults")[0])}
    assert outcome.calls[0].target in defaults


def test_what_can_be_written_is_no_constant(compile_c: Callable[..., Path]) -> None:
    """Without RELRO: the table that others may have changed. What the loader alone writes is known."""
    path = compile_c(TABLE, "-O0", "-nodefaultlibs", "-lc", "-Wl,-z,norelro")
    outcome = run_symbolically(path, "fill")
    known = offsets_known(outcome, path, run_really(path, "fill")["fill"])
    assert known == {8 + 12 * 8, 8 + 16 * 8}


# The flow, on both machines: `store` at DATA + offset, without touching registers that matter.


def execute_x86(text: bytes, *, fixed: bool = False, size: int | None = None) -> Outcome:
    """At CODE + 0x100 is a stub of `free`, whose slot is at DATA + 0x100; at CODE + 0x120 one of `abort`."""
    stubs = b"".join(
        b"\xff\x25" + struct.pack("<i", slot - (at + 6)) + bytes(26)
        for at, slot in ((CODE + 0x100, DATA + 0x100), (CODE + 0x120, DATA + 0x108))
    )
    relocations = [(DATA + 0x100, 7, 1, 0), (DATA + 0x108, 7, 2, 0)]
    content = text + b"\xcc" * (0x100 - len(text)) + stubs
    with dynamic_image(
        content, X86_64, symbols=["free", "abort"], plt_relocations=relocations, fixed=fixed
    ) as image:
        return execute(image, Relocations(image), Bounds(CODE, CODE + (size or len(text))))


def store(at: int, offset: int) -> bytes:
    """mov byte ptr [rip + ...], 1, which is 7 bytes long, for DATA + offset."""
    return b"\xc6\x05" + struct.pack("<i", DATA + offset - (CODE + at + 7)) + b"\1"


def relative(opcode: bytes, at: int, target: int) -> bytes:
    return opcode + struct.pack("<i", target - (at + len(opcode) + 4))


def stored_offsets(outcome: Outcome) -> set[int]:
    return {address - DATA for address in outcome.stored}


@pytest.mark.parametrize(
    ("jump", "offsets", "calls"),
    [
        (relative(b"\xe9", 7, 14) + b"\x90\x90", {0, 1}, []),
        (relative(b"\xe9", 7, 12) + b"\x90\x90", {0, 1}, []),
        (relative(b"\xe9", 7, 0) + b"\x90\x90", {0}, []),  # backwards
        (relative(b"\xe9", 7, 7) + b"\x90\x90", {0}, []),  # for ever
        (relative(b"\xe9", 7, 0x80) + b"\x90\x90", {0}, [Address(CODE + 0x80)]),  # out of the function
        (relative(b"\xe9", 7, 0x100) + b"\x90\x90", {0}, [SymbolAddress("free")]),
        (relative(b"\xe8", 7, 0x100) + b"\x90\x90", {0, 1}, [SymbolAddress("free")]),
        (relative(b"\xe8", 7, 0x120) + b"\x90\x90", {0}, [SymbolAddress("abort")]),
        (relative(b"\xe8", 7, 0x80) + b"\x90\x90", {0, 1}, [Address(CODE + 0x80)]),
        (relative(b"\xe8", 7, 0) + b"\x90\x90", {0, 1}, [Address(CODE)]),
        (relative(b"\xff\x15", 7, DATA - CODE + 0x100) + b"\x90", {0, 1}, [SymbolAddress("free")]),
        (relative(b"\xff\x25", 7, DATA - CODE + 0x100) + b"\x90", {0}, [SymbolAddress("free")]),
        (b"\xff\xd0" + b"\x90" * 5, {0, 1}, [None]),  # call rax
        (b"\xff\xe0" + b"\x90" * 5, {0}, [None]),  # jmp rax
        (relative(b"\x0f\x84", 7, 0x100) + b"\x90", {0, 1}, []),  # je
        (b"\xf3\xc3" + b"\x90" * 5, {0}, []),  # repz ret
        (b"\x0f\x0b" + b"\x90" * 5, {0}, []),  # ud2
        (b"\x06" + b"\x90" * 6, {0}, []),  # nothing valid
    ],
)
def test_where_the_line_goes(jump: bytes, offsets: set[int], calls: list[Value | None]) -> None:
    assert len(jump) == 7
    outcome = execute_x86(store(0, 0) + jump + store(14, 1))
    assert stored_offsets(outcome) == offsets
    assert outcome.calls == tuple(Call(CODE + 7, target) for target in calls)  # type: ignore[arg-type]


def test_the_line_ends_with_the_function() -> None:
    text = store(0, 0) + store(7, 1) + store(14, 2)
    assert stored_offsets(execute_x86(text, size=14)) == {0, 1}
    assert stored_offsets(execute_x86(text, size=13)) == {0}
    assert stored_offsets(execute_x86(text, size=1 << 40)) == {0, 1, 2}


def test_where_the_line_goes_on_aarch64() -> None:
    # adrp x16 (DATA); ldr x17, [x16, #0x100]; br x17, the stub of free, begins at CODE + 0x20.
    tail = "90000090 f9408211 d61f0220"
    cases = {
        "94000006 39000000 d65f03c0": ([SymbolAddress("free")], {}),  # bl; x0 is not known any more
        "14000006 39000000": ([SymbolAddress("free")], {}),
        "17fffffe 39000000": ([], {}),  # backwards
        "f9408002 d63f0040 d65f03c0": ([SymbolAddress("free")], {}),  # ldr x2, [x0, #0x100]; blr x2
        "f9408002 d61f0040": ([SymbolAddress("free")], {}),  # br x2
        "3900001f 14000002 3900041f 3900081f": ([], {0, 2}),  # strb wzr, [x0]; b .+8; ...
    }
    for text, (calls, offsets) in cases.items():
        padding = " d503201f" * (6 - len(text.split()))
        outcome = execute_aarch64(f"{text}{padding} {tail}")
        assert [call.target for call in outcome.calls[: len(calls)]] == calls
        assert stored_offsets(outcome) == set(offsets)


def test_numbers_are_addresses_only_in_what_is_never_moved() -> None:
    code = b"\xc7\x04\x25" + struct.pack("<II", DATA, 4)  # mov dword ptr [DATA], 4
    code += b"\xb8" + struct.pack("<I", DATA + 8) + b"\x48\x89\x00"  # mov eax, DATA + 8; mov [rax], rax
    assert execute_x86(code).stored == {}
    outcome = execute_x86(code, fixed=True)
    assert outcome.stored == {DATA: (4, Number(4)), DATA + 8: (8, Number(DATA + 8))}
    assert outcome.number(DATA, 4) == 4
    assert outcome.number(DATA, 2) == 4
    assert outcome.number(DATA, 8) is None
    assert outcome.word(DATA) is None
    assert outcome.word(DATA + 8) == Number(DATA + 8)
    # mov x2, #0x20000; str x1, [x2, #8]
    assert execute_aarch64("d2a00042 f9000441").stored == {}
    assert execute_aarch64("d2a00042 f9000441", fixed=True).stored == {DATA + 8: (8, Address(CODE))}


@pytest.mark.parametrize(
    "instruction",
    [
        b"\xeb\x00",  # jmp .+2
        b"\x50",  # push rax
        b"\xe8\x00\x00\x00\x00",  # call .+5
        b"\xff\x35\x00\x00\x00\x00",  # push [rip]
        b"\x48\x83\xe4\xe0",  # and rsp, -32
        b"\x48\x89\x05\x00\x00\x01\x00",  # mov [rip + 0x10000], rax
        b"\xb9\xff\xff\xff\x7f\x48\x8d\x3d\x00\x00\x01\x00\xf3\x48\xab",  # a long rep stosq
        b"\x54\x48\x89\x18",  # push rsp; mov [rax], rbx: any of the stack may be written
    ],
)
def test_a_line_without_end_is_bounded(instruction: bytes) -> None:
    text = instruction * (0x10000 // len(instruction))
    begin = time.monotonic()
    with dynamic_image(text, X86_64) as image:
        outcome = execute(image, Relocations(image), Bounds(CODE, CODE + len(text)))
        assert len(outcome.calls) <= MAX_INSTRUCTIONS
    assert time.monotonic() - begin < 5


def test_there_must_be_code() -> None:
    with dynamic_image(b"\xc3", X86_64) as image:
        for start in (DATA, CODE + 1, 0, 1 << 63):
            with pytest.raises(ElfError, match="not in an executable segment"):
                execute(image, Relocations(image), Bounds(start, start + 8))
        assert execute(image, Relocations(image), Bounds(CODE, CODE)).stored == {}
