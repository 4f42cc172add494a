"""docs/plugins.md: every block that needs no root (for the others see tests/bpf/test_docs_plugins.py)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.guide import GUIDE, Block, Guide, Step, alike, blocks, matches, projects, steps

COMMANDS = steps(root=False)

# What a snippet gets from tlstap's part of the BPF program.
BPF = """
#include <stdbool.h>
#define __always_inline inline __attribute__((always_inline))
#define PT_REGS_PARM4(ctx) ((ctx)->rcx)
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;
struct pt_regs { unsigned long rcx; };
long bpf_probe_read_user(void *to, u32 size, const void *from);
"""


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Guide:
    """The page, followed in a folder."""
    return Guide(tmp_path_factory.mktemp("guide"))


def by_title(block: Block) -> str:
    return block.title


def by_command(value: object) -> str | None:
    return value.command if isinstance(value, Step) else None


def test_every_block_is_run() -> None:
    assert blocks() != ()
    for block in blocks():
        is_file = block.language in ("c", "python", "toml") and block.title
        is_console = block.language == "console" and not block.title and block.text.startswith("$ ")
        assert is_file or is_console, f"line {block.line} of {GUIDE} is neither a file nor commands"


def test_every_plugin_of_the_page_is_installed_there() -> None:
    installed = [
        command.split("./")[1]
        for _, step in COMMANDS
        if (command := step.command).startswith("pip install ./")
    ]
    assert installed == projects()


@pytest.mark.parametrize(("project", "step"), COMMANDS, ids=by_command)
def test_commands(guide: Guide, project: str, step: Step) -> None:
    guide.prepare(step)
    guide.check(project, step)


LOADS = """
import json
from tlstap.registry import BUILTIN, Registry
registry = Registry.load()
third = [plugin for plugin in registry.plugins if plugin.distribution != BUILTIN]
print(json.dumps([[plugin.distribution, registry.declared_by(plugin)] for plugin in third]))
"""

DECLARED = {
    "tlstap-wolfssl": ("libraries", "wolfssl"),
    "tlstap-acme": ("libraries", "acme"),
    "tlstap-irc": ("protocols", "irc"),
    "tlstap-ndjson": ("body formats", "ndjson"),
    "tlstap-access": ("formats", "access"),
    "tlstap-typo": None,
    "tlstap-future": None,
}
"""What each plugin declares; None is left out."""


@pytest.mark.parametrize("project", projects())
def test_a_plugin_is_loaded_beside_tlstaps_own(guide: Guide, project: str) -> None:
    what = DECLARED[project]
    done = subprocess.run(
        [sys.executable, "-c", LOADS],
        env={"PYTHONPATH": str(guide.site(project))},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = [
        [distribution, {k: v for k, v in said.items() if v}] for distribution, said in json.loads(done.stdout)
    ]
    assert loaded == ([] if what is None else [[project, {what[0]: [what[1]]}]])


@pytest.mark.parametrize("project", projects())
def test_plugins_as_json(guide: Guide, project: str) -> None:
    (text,) = ["\n".join(guide.run(project, Step("tlstap plugins --json", [])))]
    document = json.loads(text)
    names = {plugin["name"] for plugin in document["plugins"]} | {one["name"] for one in document["failed"]}
    assert project.removeprefix("tlstap-") in names
    assert [one["distribution"] for one in document["failed"]] == ([] if DECLARED[project] else [project])


@pytest.mark.parametrize(
    "block", [block for block in blocks() if block.language == "c" and "snippet" in block.title], ids=by_title
)
def test_snippets_are_c(block: Block, tmp_path: Path) -> None:
    source = tmp_path / "snippet.c"
    functions = re.findall(r"^static __always_inline \w+ (\w+)\(", block.text, re.MULTILINE)
    used = "".join(f"void *use_{name} = (void *){name};\n" for name in functions)
    source.write_text(f"{BPF}\n{block.text}\n{used}")
    command = ["gcc", "-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert functions != []


def test_a_locator_that_does_not_know_says_why(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text(
        "int acme_open(void){return 1;}\nint acme_recv(void){return 1;}\n"
        "int acme_send(int *at){return *at + 1;}\n"
    )
    shared = tmp_path / "other.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", shared, tmp_path / "other.c"], check=True)
    printed = guide.run("tlstap-acme", Step(f"tlstap inspect {shared}", []))
    assert "not there: acme_send_record (acme_send begins with mov, not with a jump)" in printed
    (row,) = [line.split() for line in printed if line.startswith("acme_send ")]
    assert row[2:4] == ["dynsym", "write"]


def test_links_lead_somewhere() -> None:
    text = GUIDE.read_text()
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("## ")
    }
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert {link[1:] for link in links if link.startswith("#")} == headings
    for link in links:
        assert link.startswith("#") or (GUIDE.parent / link).exists(), link


def test_what_differs_is_not_compared() -> None:
    left = "f  0x12  dynsym  read   push rbx (emulated)"
    assert alike(left) == alike("f  0x3456    dynsym  read  mov rax, qword ptr [rdi] (stepped)")
    assert alike(left) != alike("f  0x12  dynsym  write  push rbx (emulated)")
    assert matches(["a", "b", "c"], ["...", "c"])
    assert matches(["a"], ["a", "..."])
    assert not matches(["a", "b"], ["a"])
    assert not matches(["a"], ["...", "b"])
    assert not matches(["a"], [])
