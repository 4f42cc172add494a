"""The text of the BPF program: bpf/*.h and the plugins' snippets pasted into one.

BCC rewrites map accesses in the main file only, so nothing can be #included; #line keeps the names of the
files in the compiler's messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from tlstap.tracing.plan import ProbeTable

PREAMBLE = """\
#include <uapi/linux/ptrace.h>
#include <linux/types.h>
#define bpf_ntohs(x) __builtin_bswap16(x)
"""

BEFORE_SNIPPETS = ("event.h", "maps.h", "emit.h", "filter.h", "connection.h", "socket.h", "data.h")
AFTER_SNIPPETS = ("held.h", "packet.h", "parts.h", "detail.h", "trial.h", "probe.h", "process.h")

ENTER = "on_enter"
EXIT = "on_exit"
PARTS = "on_parts"
JUMPS = {ENTER: 0, PARTS: 1}
"""Programs that others jump to, by their index in the map `programs`."""

_MACRO = re.compile(r"^[ \t]*#[ \t]*(?:define|undef)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)

_COOKIE_ENTRY = f"""
int {ENTER}(struct pt_regs *ctx) {{
    u64 cookie = bpf_get_attach_cookie(ctx);
    enter(ctx, cookie & 0xffff, cookie >> 16 & 0xffff, cookie >> 32);
    return 0;
}}
"""

# Without cookies each probe has a small program of its own: it notes the probe and jumps to the common one.
_NOTED_ENTRY = f"""
BPF_TABLE("lru_hash", u64, u32, entered, MAX_THREADS);

static __always_inline void pass_on(struct pt_regs *ctx, u32 probe) {{
    u64 id = bpf_get_current_pid_tgid();
    entered.update(&id, &probe);
    programs.call(ctx, PROGRAM_ENTER);
}}

int {ENTER}(struct pt_regs *ctx) {{
    u64 id = bpf_get_current_pid_tgid();
    u32 *probe = entered.lookup(&id);
    if (probe)
        enter(ctx, *probe, 0, trials.lookup(probe) != 0);
    return 0;
}}
"""


def entry_name(probe_index: int) -> str:
    """Name of the entry program of one probe, for kernels without cookies."""
    return f"{ENTER}_{probe_index}"


def program_text(table: ProbeTable, snippets: Mapping[str, str], *, cookies: bool) -> str:
    """The whole program.

    :param snippets: C text by file name, as the compiler shall call it.
    :param cookies: one entry program that learns its probe from the attach cookie; otherwise one for each
        declared probe.
    """
    parts = [PREAMBLE]
    parts += [_section(f"bpf/{name}", _bpf_file(name)) for name in BEFORE_SNIPPETS]
    parts += [_snippet(name, text) for name, text in snippets.items()]
    parts.append(_section("conditions", _conditions(table)))
    parts.append(_section("identities", _identities(table)))
    parts += [_section(f"bpf/{name}", _bpf_file(name)) for name in AFTER_SNIPPETS]
    if cookies:
        parts.append(_section("entry", _COOKIE_ENTRY))
    else:
        entries = "".join(
            f"int {entry_name(index)}(struct pt_regs *ctx) {{ pass_on(ctx, {index}); return 0; }}\n"
            for index in range(len(table))
        )
        parts.append(_section("entries", _NOTED_ENTRY + entries))
    return "".join(parts)


def _section(name: str, text: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'#line 1 "{quoted}"\n{text}\n'


def _snippet(name: str, text: str) -> str:
    """A plugin's C. Its macros hold in it alone: elsewhere their names may mean something."""
    macros = dict.fromkeys(_MACRO.findall(text))
    before = "".join(f'#pragma push_macro("{macro}")\n' for macro in macros)
    after = "".join(f'#pragma pop_macro("{macro}")\n' for macro in macros)
    return before + _section(name, text) + after


def _bpf_file(name: str) -> str:
    return files("tlstap").joinpath("bpf", name).read_text()


def _conditions(table: ProbeTable) -> str:
    """wanted(): asks a probe's condition, if it has one."""
    answers = {
        index: f"{probe.condition}(ctx)" for index, probe in enumerate(table.probes) if probe.condition
    }
    return _switch("bool wanted(struct pt_regs *ctx, u32 probe)", answers, "true")


def _identities(table: ProbeTable) -> str:
    """identified(): what a probe's handle stands for; the handle itself, if the probe says nothing."""
    answers = {
        index: f"{probe.identify}(handle)" for index, probe in enumerate(table.probes) if probe.identify
    }
    return _switch("u64 identified(u32 probe, u64 handle)", answers, "handle")


def _switch(prototype: str, answers: Mapping[int, str], otherwise: str) -> str:
    """A function that answers by the probe's index."""
    cases = "".join(f"    case {index}: return {answer};\n" for index, answer in answers.items())
    return (
        f"static __always_inline {prototype} {{\n"
        f"    switch (probe) {{\n{cases}    }}\n    return {otherwise};\n}}\n"
    )
