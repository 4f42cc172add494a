"""The text of the BPF program."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import tlstap
from tlstap.library import DataProbe, FreeProbe, Library, Recognise
from tlstap.tracing.plan import ProbeTable
from tlstap.tracing.program import AFTER_SNIPPETS, BEFORE_SNIPPETS, entry_name, program_text

BPF = Path(tlstap.__file__).parent / "bpf"

TABLE = ProbeTable(
    [
        Library(
            name="mine",
            title="Mine",
            recognise=Recognise(symbols=("x",)),
            probes=(
                DataProbe(function="my_read", direction="read"),
                DataProbe(function="my_write", direction="write", condition="is_mine"),
                FreeProbe(function="my_free", condition="is_last"),
            ),
            snippet="mine.h",
        )
    ]
)
SNIPPETS = {"mine/mine.h": "/* of mine */\nint mine;\n", "other/part.h": "int other;"}


def sections(text: str) -> dict[str, str]:
    """The parts by the names that the compiler will call them; their first line is line 1."""
    parts = re.split(r'^#line 1 "([^"]+)"\n', text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("cookies", [True, False])
def test_every_file_is_there_whole_under_its_name_and_in_order(cookies: bool) -> None:
    found = sections(program_text(TABLE, SNIPPETS, cookies=cookies))
    names = [
        *(f"bpf/{name}" for name in BEFORE_SNIPPETS),
        *SNIPPETS,
        "conditions",
        "identities",
        *(f"bpf/{name}" for name in AFTER_SNIPPETS),
        "entry" if cookies else "entries",
    ]
    assert list(found) == names
    for name in (*BEFORE_SNIPPETS, *AFTER_SNIPPETS):
        assert found[f"bpf/{name}"] == (BPF / name).read_text() + "\n"
    for name, text in SNIPPETS.items():
        assert found[name] == text + "\n"


def test_no_file_is_forgotten() -> None:
    assert {path.name for path in BPF.glob("*.h")} == {*BEFORE_SNIPPETS, *AFTER_SNIPPETS}


def test_a_snippet_without_a_line_end_does_not_swallow_what_follows() -> None:
    text = program_text(TABLE, {"one.h": "int x; // 1"}, cookies=True)
    assert 'int x; // 1\n#line 1 "conditions"\n' in text


def test_a_snippets_macros_hold_in_it_alone(tmp_path: Path) -> None:
    """As C: what it defines anew or takes away is as before behind it, and what it adds is gone."""
    snippet = "#define THREE 4\n #  undef FOUR\n#define FIVE 5\nint mine = THREE + FIVE;\n"
    text = program_text(TABLE, {'a "name".h': snippet}, cookies=True)
    begin, end = text.index('#pragma push_macro("THREE")'), text.index('#line 1 "conditions"')
    source = tmp_path / "macros.c"
    source.write_text(
        "#define THREE 3\n#define FOUR 4\n"
        + text[begin:end]
        + "#ifdef FIVE\n#error\n#endif\nint main(void) { return mine != 9 || THREE != 3 || FOUR != 4; }\n"
    )
    subprocess.run(["gcc", "-w", "-o", tmp_path / "macros", source], check=True)
    assert subprocess.run([tmp_path / "macros"], check=False).returncode == 0


def test_conditions_are_asked_by_the_probes_index() -> None:
    conditions = sections(program_text(TABLE, SNIPPETS, cookies=True))["conditions"]
    assert re.findall(r"case (\d+): return (\w+)\(ctx\);", conditions) == [("1", "is_mine"), ("2", "is_last")]


def test_conditions_compile(tmp_path: Path) -> None:
    """As C: the probe without a condition is always wanted, the others as their condition says."""
    source = tmp_path / "conditions.c"
    source.write_text(
        "#include <stdbool.h>\n#define __always_inline\ntypedef unsigned u32; struct pt_regs { int x; };\n"
        "static bool is_mine(struct pt_regs *ctx) { return ctx->x == 1; }\n"
        "static bool is_last(struct pt_regs *ctx) { return ctx->x == 2; }\n"
        + sections(program_text(TABLE, {}, cookies=True))["conditions"]
        + "int main(void) { int bits = 0; for (int x = 0; x < 3; x++) for (u32 probe = 0; probe < 3; probe++)"
        "{ struct pt_regs ctx = {x}; bits = bits << 1 | wanted(&ctx, probe); } return bits != 309; }\n"
    )
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", tmp_path / "conditions", source], check=True)
    assert subprocess.run([tmp_path / "conditions"], check=False).returncode == 0


def test_one_entry_program_with_cookies() -> None:
    entry = sections(program_text(TABLE, SNIPPETS, cookies=True))["entry"]
    assert re.findall(r"int (\w+)\(struct pt_regs", entry) == ["on_enter"]
    assert "bpf_get_attach_cookie" in entry


def test_an_entry_program_for_each_probe_without_cookies() -> None:
    text = program_text(TABLE, SNIPPETS, cookies=False)
    entries = sections(text)["entries"]
    assert re.findall(r"int (\w+)\(struct pt_regs \*ctx\) \{ pass_on\(ctx, (\d+)\)", entries) == [
        (entry_name(index), str(index)) for index in range(3)
    ]
    assert "bpf_get_attach_cookie" not in text, "older kernels don't have it"
