"""Why a plugin's C is of no use, as one line: from what the compiler or the kernel's verifier said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tlstap.errors import CompileError
from tlstap.library import Library, Probe

MAX_LINE = 300
"""Characters of a line of the tool's that are passed on."""
LAST_LINES = 3

_ERROR = re.compile(r"^([^\n]+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*?)(?: \[-W.*\])?$", re.MULTILINE)
_BACK_END = re.compile(
    r"^(?:error: ([^\n:]+):(\d+):\d+: |Error at line \d+: )(.*?)(?:, ([^\n:, ]+):(\d+):\d+ @.*)?$",
    re.MULTILINE,
)
"""What the compiler finds wrong once it knows what the machine can do; of lines that BCC has moved."""
_SOURCE_LINE = re.compile(r"^; .*@ ([^\s/]+):(\d+)\s*$", re.MULTILINE)
_FRONT = "the BPF program does not compile: "
_STATISTICS = ("processed ", "verification time ", "stack depth ", "HINT:", "cur state:", "old state:")
_STATEMENTS = ("if", "for", "while", "switch")
_FUNCTION = re.compile(r"\b([A-Za-z_]\w*)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*\{")


def reason(error: CompileError, snippets: Mapping[str, str], libraries: Iterable[Library]) -> str:
    """What is wrong with a plugin's C.

    :param error: of a program that would do without the plugin.
    :param snippets: the plugin's own C by file name.
    :param libraries: what the plugin declares.
    """
    probes = [probe for library in libraries for probe in library.probes]
    if error.rejected is None:
        return _of_compiler(error, snippets, probes)
    return _of_verifier(error, snippets, probes)


def _of_compiler(error: CompileError, snippets: Mapping[str, str], probes: Iterable[Probe]) -> str:
    found = [(file, int(line), text) for file, line, text in _ERROR.findall(error.words)]
    files = ", ".join(snippets)
    for file, line, text in found:
        if file in snippets and line <= snippets[file].count("\n") + 1:
            return f"its C does not compile: {file}:{line}: {_short(text)}"
    if not found:
        return _of_back_end(error, snippets)
    file, line, text = found[0]
    asked = [_call(probe, name) for probe in probes for name in _names(probe) if f"'{name}'" in text]
    if undefined := ", ".join(dict.fromkeys(asked)):
        return f"its C ({files}) does not compile: {undefined}: {_short(text)}"
    return (
        f"its C ({files}) does not compile: behind it, at {file}:{line}: {_short(text)}; "
        "is a brace, a comment or a string left open?"
    )


def _of_back_end(error: CompileError, snippets: Mapping[str, str]) -> str:
    places = ", ".join(snippets)
    for file, line, text, later_file, later_line in _BACK_END.findall(error.words):
        file, line = file or later_file, line or later_line
        if file in snippets and (place := _line_and_function(snippets[file], int(line))):
            places = f"{file}:{place[0]}"
        return f"its C ({places}) does not compile: {_short(text.rpartition('*): ')[2])}"
    return f"its C ({places}) does not compile: {_short(str(error).removeprefix(_FRONT))}"


def _of_verifier(error: CompileError, snippets: Mapping[str, str], probes: Iterable[Probe]) -> str:
    place = function = ""
    for file, text in snippets.items():
        for name, line in _SOURCE_LINE.findall(error.words):
            # The kernel leaves the folders out.
            if name == file.rpartition("/")[2] and (found := _line_and_function(text, int(line))):
                place, function = f"{file}:{found[0]}", found[1]
    asking = [_call(probe, name) for probe in probes for name in _names(probe)]
    exact = [_call(probe, function) for probe in probes if function in _names(probe)]
    where = ", ".join(dict.fromkeys(exact or asking))
    lines = [line.strip() for line in error.words.splitlines()]
    told = [line for line in lines if line and not line.startswith((";", *_STATISTICS))]
    last = " | ".join(_short(line) for line in _without_repetition(told)[-LAST_LINES:])
    return f"the kernel's verifier rejects its C ({place or ', '.join(snippets)}), {where}: {last}"


def _names(probe: Probe) -> list[str]:
    return [name for name in (probe.condition, probe.identify) if name]


def _call(probe: Probe, name: str) -> str:
    return f"{name} of the probe on {probe.function}"


def _line_and_function(text: str, reported: int) -> tuple[int, str] | None:
    """The line of a snippet that the verifier means, and the C function that is there.

    BCC puts a line of its own before each function.
    """
    heads = [
        (text.count("\n", 0, head.start()) + 1, head.group(1))
        for head in _FUNCTION.finditer(text)
        if head.group(1) not in _STATEMENTS
    ]
    for line in range(1, text.count("\n") + 2):
        before = [name for start, name in heads if start <= line]
        if line + len(before) == reported and before:
            return line, before[-1]
    return None


def _without_repetition(lines: list[str]) -> list[str]:
    return [line for index, line in enumerate(lines) if not index or line != lines[index - 1]]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}..."
