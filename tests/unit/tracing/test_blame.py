"""What a compiler or a verifier said, as one line about a plugin."""

from __future__ import annotations

import pytest

from tlstap.errors import CompileError
from tlstap.library import DataProbe, FreeProbe, Library, Recognise
from tlstap.tracing.blame import MAX_LINE, reason

LIBRARY = Library(
    name="mine",
    title="Mine",
    recognise=Recognise(symbols=("my_read",)),
    probes=(
        DataProbe(function="my_read", direction="read", condition="is_mine"),
        DataProbe(function="my_write", direction="write", identify="which"),
        FreeProbe(function="my_free", condition="is_mine"),
    ),
    snippet="mine.h",
)
SNIPPET = """\
static __always_inline bool is_mine(struct pt_regs *ctx) {
    if (PT_REGS_PARM1(ctx)) {
        return true;
    }
    return false;
}

static __always_inline u64 which(u64 handle) {
    return handle;
}
"""


def why(words: str, rejected: str | None = None, snippet: str = SNIPPET) -> str:
    error = CompileError("the BPF program does not compile: in short", words, rejected)
    return reason(error, {"mine/mine.h": snippet}, [LIBRARY])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "mine/mine.h:2:3: warning: odd [-Wodd]\n"
            "mine/mine.h:9:12: error: no  such thing [-Werror,-Wthing]\n"
            "mine/mine.h:3:1: error: a later one\n",
            "its C does not compile: mine/mine.h:9: no such thing",
        ),
        (
            "bpf/probe.h:1:1: error: by it\nmine/mine.h:9:1: fatal error: cause\n",
            "its C does not compile: mine/mine.h:9: cause",
        ),
        (
            "conditions:3:20: error: implicit declaration of function 'is_mine'\n",
            "its C (mine/mine.h) does not compile: is_mine of the probe on my_read, "
            "is_mine of the probe on my_free: implicit declaration of function 'is_mine'",
        ),
        (
            "mine/mine.h:900:1: error: numbers went on\n",
            "its C (mine/mine.h) does not compile: behind it, at mine/mine.h:900: numbers went on; "
            "is a brace, a comment or a string left open?",
        ),
        (
            "LLVM ERROR: no words\n",
            "its C (mine/mine.h) does not compile: in short",
        ),
        (
            "error: mine/mine.h:11:9: in function on_enter i32 (%struct.pt_regs*): A call to '__addsf3'\n",
            "its C (mine/mine.h:9) does not compile: A call to '__addsf3'",
        ),
        (
            "error: entry:0:0: in function on_enter i32 (%struct.pt_regs*): The stack limit is exceeded.\n",
            "its C (mine/mine.h) does not compile: The stack limit is exceeded.",
        ),
        (
            "Error at line 4: Unsupport signed division for DAG: 0x2: i64 = sdiv 0x3, 0x4, "
            "mine/mine.h:4:32 @[ conditions:4:20 @[ bpf/probe.h:1:5 ] ]Please convert.\nLLVM ERROR\n",
            "its C (mine/mine.h:3) does not compile: "
            "Unsupport signed division for DAG: 0x2: i64 = sdiv 0x3, 0x4",
        ),
    ],
)
def test_what_a_compiler_said(words: str, expected: str) -> None:
    assert why(words) == expected


def test_a_long_line_is_cut() -> None:
    said = why(f"mine/mine.h:1:1: error: {'x' * 1000}\n")
    assert said == f"its C does not compile: mine/mine.h:1: {'x' * MAX_LINE}..."


@pytest.mark.parametrize(
    ("reported", "place", "asking"),
    [
        (2, "mine/mine.h:1", "is_mine of the probe on my_read, is_mine of the probe on my_free"),
        (4, "mine/mine.h:3", "is_mine of the probe on my_read, is_mine of the probe on my_free"),
        (11, "mine/mine.h:9", "which of the probe on my_write"),
        (
            500,
            "mine/mine.h",
            "is_mine of the probe on my_read, which of the probe on my_write, "
            "is_mine of the probe on my_free",
        ),
    ],
)
def test_where_the_verifier_was(reported: int, place: str, asking: str) -> None:
    words = (
        "bpf: Failed to load program: Permission denied\n0: R1=ctx() R10=fp0\n; x @ conditions:3\n"
        f";  @ mine.h:{reported}\n24: (79) r1 = *(u64 *)(r1 +0)\n24: (79) r1 = *(u64 *)(r1 +0)\n"
        "R1 invalid mem access 'scalar'\nprocessed 23 insns (limit 1000000)\n\n"
    )
    assert why(words, "on_enter") == (
        f"the kernel's verifier rejects its C ({place}), {asking}: "
        "0: R1=ctx() R10=fp0 | 24: (79) r1 = *(u64 *)(r1 +0) | R1 invalid mem access 'scalar'"
    )


def test_a_kernel_that_names_no_lines() -> None:
    said = why("back-edge from insn 24 to 24\n", "on_enter")
    assert said.startswith(
        "the kernel's verifier rejects its C (mine/mine.h), is_mine of the probe on my_read, "
    )
    assert said.endswith(": back-edge from insn 24 to 24")
