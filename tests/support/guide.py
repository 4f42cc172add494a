"""docs/plugins.md, taken out of the page and run: files written, plugins installed, commands typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tlstap import OutputOptions
from tlstap.sinks import jsonlines
from tlstap.testing import Conversation

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/plugins.md"
STAND_INS = ROOT / "tests/data/guide"
TEMPLATE = "wolfssl"
"""The project of which the others' pyproject.toml is made."""

_FENCE = re.compile(r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?$')
_WHAT_DIFFERS = re.compile(r"(?<=  )\S+(?: \S+)* \((?:emulated|stepped)\)$|0x[0-9a-f]+|\b[0-9a-f]{40}\b|\d+")
_COMPILE = ("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fvisibility=hidden")


@dataclass(frozen=True)
class Block:
    """A block of code: a file, if it has a title, or commands with what they print."""

    language: str
    title: str
    text: str
    line: int

    @property
    def project(self) -> str:
        """The plugin whose file it is: its folder's name."""
        folder = self.title.partition("/")[0]
        return folder if folder.startswith("tlstap-") else ""

    def steps(self) -> list[Step]:
        """The commands of a console block."""
        found: list[Step] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            else:
                found[-1].expected.append(line)
        return found


@dataclass(frozen=True)
class Step:
    """A command and the lines that it prints; none are shown if they don't matter."""

    command: str
    expected: list[str]

    @property
    def needs_root(self) -> bool:
        return self.command.startswith("sudo ")


@cache
def blocks() -> tuple[Block, ...]:
    """All blocks of the guide, in order."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    lines: list[str] = []
    for number, line in enumerate(GUIDE.read_text().splitlines(), 1):
        if opened is not None and line == "```":
            text = "\n".join(lines) + "\n"
            found.append(Block(opened["language"], opened["title"] or "", text, number - len(lines)))
            opened = None
        elif opened is not None:
            lines.append(line)
        elif line.startswith("```"):
            opened, lines = _FENCE.match(line), []
            assert opened is not None, f"line {number}: {line}"
    assert opened is None
    return tuple(found)


def block_project(block: Block) -> str:
    """The plugin that the page is about at a block: that of the last file before it."""
    before = blocks()[: blocks().index(block) + 1]
    return next(each.project for each in reversed(before) if each.project)


def steps(*, root: bool) -> list[tuple[str, Step]]:
    """The commands that need root, or the others, each with the plugin that the page is about there."""
    return [
        (block_project(block), step)
        for block in blocks()
        if block.language == "console"
        for step in block.steps()
        if step.needs_root == root
    ]


def alike(line: str) -> str:
    """A line without what differs from one machine to another: numbers, first instructions, blanks."""
    return " ".join(_WHAT_DIFFERS.sub("#", line).split())


def matches(printed: list[str], expected: list[str]) -> bool:
    """Whether lines are those that the page shows, in which `...` stands for any."""
    if not expected:
        return not printed
    if expected[0] == "...":
        return any(matches(printed[skipped:], expected[1:]) for skipped in range(len(printed) + 1))
    return bool(printed) and alike(printed[0]) == alike(expected[0]) and matches(printed[1:], expected[1:])


class Guide:
    """A folder in which the page is followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self._sites = folder / "sites"
        self._cache = folder / "cache"
        self.folder.mkdir()
        for block in blocks():
            if block.title:
                self._write(block.title, block.text)
        template = (self.folder / f"tlstap-{TEMPLATE}/pyproject.toml").read_text()
        for project in projects():
            if not (self.folder / project / "pyproject.toml").exists():
                name = project.removeprefix("tlstap-")
                self._write(f"{project}/pyproject.toml", template.replace(TEMPLATE, name))
        self._compile_stand_ins()

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.exists(), f"{name} is there twice"
        path.write_text(text)

    def _compile_stand_ins(self) -> None:
        """The libraries that the page is about, stripped as a distribution's are, and their users."""
        for library, program in (("wolfssl", "client"), ("acme", "talk")):
            shared, source = f"lib{library}.so", STAND_INS / f"{library}.c"
            self._compile("-shared", "-s", "-Wl,--build-id=sha1", "-o", shared, str(source))
            self._compile("-o", program, str(STAND_INS / f"{program}.c"), shared, "-Wl,-rpath,$ORIGIN")
        write_capture(self.folder / "capture.json")

    def _compile(self, *arguments: str) -> None:
        include = ("-I.", f"-I{STAND_INS / 'include'}")
        subprocess.run([*_COMPILE, *include, *arguments], check=True, cwd=self.folder)

    def site(self, project: str) -> Path:
        """The folder in which the plugin is installed; beside tlstap, and alone."""
        site = self._sites / project
        if not site.exists():
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
            subprocess.run([*pip, "--target", str(site), f"./{project}"], check=True, cwd=self.folder)
        return site

    def run(self, project: str, step: Step) -> list[str]:
        """Type a command; what it prints. It must end well."""
        command = step.command.removeprefix("sudo ")
        if command.startswith("pip install "):
            assert command == f"pip install ./{project}", "the page installs what it has just shown"
            self.site(project)
            return []
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.site(project)),
            "PYTEST_ADDOPTS": "-p no:cacheprovider -c /dev/null",
            "XDG_CACHE_HOME": str(self._cache),
        }
        done = subprocess.run(
            ["bash", "-c", self.here(command)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
        return done.stdout.splitlines()

    def prepare(self, step: Step) -> None:
        """Type the commands of the same block that come before, on which this one depends."""
        for block in blocks():
            before = block.steps() if block.language == "console" else []
            if step in before:
                for earlier in before[: before.index(step)]:
                    if not earlier.needs_root:
                        self.run(block_project(block), earlier)

    def here(self, text: str) -> str:
        """A command or what it prints, with the library that is here instead of the system's."""
        text = re.sub(r"(/usr)?/lib/x86_64-linux-gnu/libwolfssl\.so\.\d+", "libwolfssl.so", text)
        link = f" -I{STAND_INS / 'include'} -L. -Wl,-rpath,{self.folder} -lwolfssl"
        return text.replace(" -lwolfssl", link).replace(f"{self.folder}/", "")

    def check(self, project: str, step: Step) -> None:
        """Type a command; it must print what the page shows."""
        printed = [self.here(line) for line in self.run(project, step)]
        expected = [self.here(line) for line in step.expected]
        if step.expected:
            assert matches(printed, expected), "\n".join(["printed:", *printed, "the page:", *expected])


def write_capture(path: Path) -> None:
    """A capture with two exchanges, the second one with a hostile path."""
    talk = Conversation()
    for number, target in enumerate(("/hello", "/\x1b[2J")):
        talk.write(f"GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode())
        talk.read(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (6 + number) + b"hello\n\n"[: 6 + number]
        )
    with path.open("w") as file:
        sink = jsonlines.SINK.create(file, OutputOptions())
        for seq, record in enumerate(talk.close().records):
            sink.write(record, seq)


def projects() -> list[str]:
    """The plugins of the page."""
    return list(dict.fromkeys(block.project for block in blocks() if block.project))
