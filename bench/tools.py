"""The tools that are compared: how each is started for one program, and how its output is counted.

All of them are asked for the same: the plaintext of the traced program's TLS traffic, written to a file.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
TLSTAP = str(Path(sys.executable).parent / "tlstap")
BPFTRACE_STRING = 200
"""The greatest that bpftrace 0.17 allows."""


@dataclass(frozen=True)
class Target:
    """What is traced: a program by comm (and pids if it already runs), and the file of its libssl."""

    comm: str
    pids: tuple[int, ...]
    library: Path


@dataclass(frozen=True)
class Counted:
    """What a tool captured in the counted direction; `lost` as the tool itself says it."""

    calls: int | None
    bytes: int | None
    lost: int | None


@dataclass(frozen=True)
class Tool:
    """`command(target, output)` starts it; what it says on stdout goes to `output` too.

    `count(output, messages, direction)` reads the result, direction "read" or "write". A tool that is
    `hard_of_hearing` misses an interrupt that comes while it prints, and is sent more of them.
    """

    name: str
    command: Callable[[Target, Path], list[str]]
    count: Callable[[Path, str, str], Counted]
    environment: dict[str, str] = field(default_factory=dict)
    hard_of_hearing: bool = False


def _tlstap_filters(target: Target) -> list[str]:
    if target.pids:
        return [part for pid in target.pids for part in ("-p", str(pid))]
    return ["-c", target.comm]


def _tlstap_json(target: Target, output: Path) -> list[str]:
    return [TLSTAP, *_tlstap_filters(target), "-f", "json", "--only", "data,lost", "-o", str(output)]


def _tlstap_text(target: Target, output: Path) -> list[str]:
    return [TLSTAP, *_tlstap_filters(target), "-f", "text", "-o", str(output)]


def _count_json(output: Path, messages: str, direction: str) -> Counted:
    """Each line is one event of at most 16 KiB: as many bytes as the event says that it holds."""
    calls = size = lost = 0
    wanted = f'"direction":"{direction}"'.encode()
    captured = re.compile(rb'"captured":(\d+)')
    count = re.compile(rb'"count":(\d+)')
    with output.open("rb") as file:
        for line in file:
            start = line.replace(b": ", b":") if b'": ' in line[:40] else line
            if b'"kind":"lost"' in start:
                lost += int(_group(count, start))
            elif wanted in start:
                calls += 1
                size += int(_group(captured, start))
    return Counted(calls, size, lost)


def _group(pattern: re.Pattern[bytes], text: bytes) -> bytes:
    match = pattern.search(text)
    if match is None:
        raise ValueError(f"{pattern.pattern!r} is not in an event")
    return match[1]


def _count_text(output: Path, messages: str, direction: str) -> Counted:
    """Text shows an exchange once: one status line each."""
    return Counted(_occurrences(output, rb"HTTP/1.1 200 OK"), None, _lost_messages(messages))


def _sslsniff(target: Target, output: Path) -> list[str]:
    """Its end needs tracefs, which it gets in a mount namespace of its own."""
    mount = "test -e /sys/kernel/tracing/uprobe_events || mount -t tracefs tracefs /sys/kernel/tracing"
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{mount}; exec "$@"', "sh"]
    return [*private, "sslsniff-bpfcc", "-g", "-n", "-c", target.comm]


def _count_sslsniff(output: Path, messages: str, direction: str) -> Counted:
    """A line before each piece tells the length that was moved, one after it how much was cut off."""
    word = "WRITE/SEND" if direction == "write" else "READ/RECV"
    head = re.compile(rf"^{word} .* (\d+) *$".encode())
    cut = re.compile(rb"TRUNCATED, (\d+) bytes lost")
    calls = size = 0
    ours = False
    with output.open("rb") as file:
        for line in file:
            if found := head.match(line):
                ours, calls, size = True, calls + 1, size + int(found[1])
            elif ours and (found := cut.search(line)):
                ours, size = False, size - int(found[1])
    return Counted(calls, size, _lost_messages(messages))


def _bpftrace(target: Target, output: Path) -> list[str]:
    """The same as a small script: it prints at most 200 bytes of a call, its limit for strings."""
    condition = f'/comm == "{target.comm}"/'
    program = ""
    for function, word in (("SSL_read", "READ"), ("SSL_write", "WRITE")):
        program += f"uprobe:{target.library}:{function} {condition} {{ @{word}[tid] = arg1; }}\n"
        program += (
            f"uretprobe:{target.library}:{function} /@{word}[tid]/ {{ "
            f'if ((int32)retval > 0) {{ printf("{word} %d %r\\n", retval, buf(@{word}[tid], retval)); }} '
            f"delete(@{word}[tid]); }}\n"
        )
    return ["bpftrace", "-o", str(output), "-e", program]


def _count_bpftrace(output: Path, messages: str, direction: str) -> Counted:
    head = re.compile(rf"^{direction.upper()} (\d+) ".encode())
    calls = size = 0
    with output.open("rb") as file:
        for line in file:
            if found := head.match(line):
                calls, size = calls + 1, size + min(int(found[1]), BPFTRACE_STRING)
    said = messages + _lines_with(output, rb"Lost \d+ events")
    return Counted(calls, size, _lost_messages(said))


def _occurrences(path: Path, pattern: bytes) -> int:
    compiled = re.compile(pattern, re.MULTILINE)
    with path.open("rb") as file:
        return sum(len(compiled.findall(line)) for line in file)


def _lines_with(path: Path, pattern: bytes) -> str:
    compiled = re.compile(pattern)
    with path.open("rb") as file:
        return b"".join(line for line in file if compiled.search(line)).decode(errors="replace")


def _lost_messages(messages: str) -> int:
    """What the tools' own words about losses add up to: bcc's and bpftrace's as they occur, tlstap's sum."""
    found = re.findall(r"[Ll]ost (\d[\d,]*) (?:samples|events)", messages)
    found += re.findall(r"(\d[\d,]*) records? and \d[\d,]* bytes? lost", messages)
    return sum(int(number.replace(",", "")) for number in found)


def headers_for_bcc(folder: Path) -> Path:
    """The stub headers with which sslsniff compiles as well, so that nobody needs kernel headers."""
    shutil.copytree(ROOT / "bpf/include", folder)
    (folder / "include/linux/sched.h").write_text(
        "#define TASK_COMM_LEN 16\n"
        "#define min(x, y) ({ __typeof__(x) a = (x); __typeof__(y) b = (y); a < b ? a : b; })\n"
    )
    return folder


TOOLS = (
    Tool("tlstap -f json --only data,lost", _tlstap_json, _count_json),
    Tool("tlstap (text)", _tlstap_text, _count_text),
    Tool("sslsniff (bcc)", _sslsniff, _count_sslsniff, hard_of_hearing=True),
    Tool("bpftrace", _bpftrace, _count_bpftrace, {"BPFTRACE_STRLEN": str(BPFTRACE_STRING)}),
)


def environment(tool: Tool, headers: Path) -> dict[str, str]:
    """The environment in which a tool is started; `headers` is what headers_for_bcc made."""
    return {**os.environ, "BCC_KERNEL_SOURCE": str(headers), **tool.environment}
