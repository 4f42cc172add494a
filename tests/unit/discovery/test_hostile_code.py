"""Damaged files and any bytes as code: the analysis of code gives results or an ElfError, and soon."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.discovery.damaged import answers
from tests.unit.discovery.dynamic_elves import AARCH64, CODE, DATA, X86_64, dynamic_image

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.imports import call_sites, stub_slot
from tlstap.discovery.relocations import Relocations
from tlstap.discovery.straight_line import execute
from tlstap.discovery.unwind import Bounds, function_bounds
from tlstap.plugins.nss.locate import SLOTS, locate

ABSURD = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
_SECONDS = 5.0
SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

SOURCE = """
    struct methods { int kind; int (*functions[35])(int); };
    extern const struct methods *PR_GetDefaultIOMethods(void);
    extern int elsewhere(int);
    #define F(n) static __attribute__((noinline)) int f##n(int x) { return x * n + elsewhere(n); }
    F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10)
    F(11) F(12) F(13) F(14) F(15) F(16) F(17) F(18) F(19) F(20)
    static const struct methods own = {
        4, {f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20}};
    const struct methods *constant = &own;
    struct methods filled;
    int fill(void) {
        filled = *PR_GetDefaultIOMethods();
        filled.kind = own.kind;
        for (int i = 0; i < 20; i++) filled.functions[i] = own.functions[i];
        return elsewhere(1);
    }
    int call(int x) { return elsewhere(x) + 3; }
"""


@pytest.fixture(scope="module")
def library(compile_c: Callable[..., Path]) -> Path:
    return compile_c(SOURCE, "-Wl,-Bsymbolic", "-O3")


def questions(image: ElfImage) -> Iterator[Callable[[], object]]:
    """All that can be found out."""
    relocations = Relocations(image)
    code = next((segment.address for segment in image.executable_segments()), 0)
    yield from (
        lambda: relocations.relative,
        lambda: relocations.slots,
        lambda: relocations.got,
        lambda: relocations.all_places,
        lambda: [call_sites(image, relocations, name) for name in ("elsewhere", "PR_GetDefaultIOMethods")],
        lambda: [stub_slot(image, code + at) for at in range(0, 0x100, 16)],
        lambda: [function_bounds(image, code + at) for at in range(0, 0x400, 16)],
        lambda: [
            execute(image, relocations, bounds)
            for at in range(0, 0x400, 64)
            if (bounds := function_bounds(image, code + at)) is not None
        ],
    )
    for function in SLOTS:
        address = locate(image, function)
        assert address is None or image.is_code(address)


def use_everything(content: bytes) -> int:
    """Ask for all that can be found out; the number of answers that were no ElfError."""
    return answers(content, questions)


def parts(path: Path) -> dict[str, tuple[int, int]]:
    """(offset, size) of what the analysis reads, by section."""
    names = (
        ".dynamic",
        ".rela.dyn",
        ".rela.plt",
        ".dynsym",
        ".dynstr",
        ".eh_frame_hdr",
        ".eh_frame",
        ".text",
    )
    with path.open("rb") as file:
        sections = {section.name: section for section in ELFFile(file).iter_sections()}
        return {n: (sections[n]["sh_offset"], sections[n]["sh_size"]) for n in names if n in sections}


def test_the_undamaged_file_answers_everything(library: Path) -> None:
    assert use_everything(library.read_bytes()) == 8
    assert {".dynamic", ".rela.dyn", ".eh_frame_hdr", ".eh_frame", ".text"} <= parts(library).keys()
    with ElfImage.open(str(library)) as image:
        found = [locate(image, function) for function in SLOTS]
        assert all(found)


@SETTINGS
@given(data=st.data())
def test_changed_bytes(library: Path, data: st.DataObject) -> None:
    content = bytearray(library.read_bytes())
    places = parts(library)
    begin = time.monotonic()
    for _ in range(data.draw(st.integers(1, 8))):
        offset, size = places[data.draw(st.sampled_from(sorted(places)))]
        content[offset + data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
    use_everything(bytes(content))
    assert time.monotonic() - begin < _SECONDS


def test_absurd_numbers_in_the_tables(library: Path) -> None:
    """The dynamic section, some of the relocations, .eh_frame_hdr and the first entries of .eh_frame."""
    original = library.read_bytes()
    begin = time.monotonic()
    fields = [(".dynamic", 8, 400), (".rela.dyn", 4, 240), (".eh_frame_hdr", 4, 60), (".eh_frame", 1, 80)]
    for name, size, most in fields:
        offset, length = parts(library)[name]
        for at in range(offset, offset + min(length, most), size):
            for value in random.Random(at).sample(ABSURD, 2):
                content = bytearray(original)
                content[at : at + size] = (value & (1 << size * 8) - 1).to_bytes(size, "little")
                use_everything(bytes(content))
    assert time.monotonic() - begin < 60


def test_every_truncation(library: Path) -> None:
    content = library.read_bytes()
    for length in range(0, len(content), 311):
        assert use_everything(content[:length]) < 8


@SETTINGS
@given(code=st.binary(min_size=4, max_size=600), machine=st.sampled_from([X86_64, AARCH64]))
@example(code=b"\xff\x25\xfa\xff\xff\xff", machine=X86_64)  # a jump through itself
@example(code=b"\xf3\x0f\x1e\xfa\xff\x25", machine=X86_64)  # a stub that is cut off
@example(code=struct.pack("<I", 0x90000090), machine=AARCH64)
@example(code=b"\x67\x48\xa5\xf2\x48\xab", machine=X86_64)
def test_any_bytes_as_code(code: bytes, machine: int) -> None:
    slots = [(DATA, {X86_64: 7, AARCH64: 1026}[machine], 1, 0)]
    with dynamic_image(code, machine, symbols=["wanted"], plt_relocations=slots) as image:
        relocations = Relocations(image)
        assert all(CODE <= site < CODE + len(code) for site in call_sites(image, relocations, "wanted"))
        for start in range(CODE, CODE + len(code), 64):
            stub_slot(image, start)
            outcome = execute(image, relocations, Bounds(start, CODE + len(code)))
            assert all(size in (1, 2, 4, 8) for size, _ in outcome.stored.values())
            assert all(start <= call.address < CODE + len(code) for call in outcome.calls)


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
def test_many_instructions(machine: int) -> None:
    """Random ones, so that nearly every kind is among them."""
    generator = random.Random(machine)
    prefixes = [b""]
    if machine == X86_64:
        prefixes += [
            b"\x66",
            b"\x0f",
            b"\x66\x0f",
            b"\xc5",
            b"\xc4",
            b"\x48",
            b"\xf2\x0f",
            b"\xf3\x0f",
            b"\x62",
        ]
    for _ in range(200):
        code = b"".join(generator.choice(prefixes) + generator.randbytes(4) for _ in range(64))
        with dynamic_image(code, machine) as image:
            relocations = Relocations(image)
            for start in range(CODE, CODE + len(code), 4):
                execute(image, relocations, Bounds(start, CODE + len(code)))
