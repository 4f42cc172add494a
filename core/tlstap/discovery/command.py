"""Which files a command will run from the start: its executable, interpreters, and their libraries.

So that probes are in place before the command begins. What it opens later is found by scanning.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from tlstap.discovery.elf import ElfImage
from tlstap.discovery.files import open_regular
from tlstap.errors import ElfError

_MAX_INTERPRETERS = 4  # the kernel's own limit
_SHEBANG_LENGTH = 256
_TIMEOUT = 5.0
_ENV = "/usr/bin/env"

# `libssl.so.3 => /lib/libssl.so.3 (0x7f...)`, or the path alone
_LOADED = re.compile(rb"^\t(?:[^\n]+ => )?(/[^\n]+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def files_of_command(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Paths of the files with code that a command loads when it starts; empty if there is no such program.

    The program itself is not run: its dynamic loader is asked to list what it would load. If that fails, the
    executable alone is known.
    """
    program = executable(arguments[0], environment) if arguments else None
    files: list[str] = []
    for _ in range(_MAX_INTERPRETERS + 1):
        if program is None:
            break
        interpreter = _interpreter(program, environment)
        if interpreter is None:
            files += [program, *_libraries(program, environment)]
            break
        program = interpreter
    return list(dict.fromkeys(files))


def executable(name: str, environment: Mapping[str, str]) -> str | None:
    """The path of the program that a shell with this environment would run."""
    return shutil.which(name, path=environment.get("PATH", os.defpath))


def _interpreter(program: str, environment: Mapping[str, str]) -> str | None:
    """The program that runs a script, as its first line says; None for anything but a script."""
    try:
        fd = open_regular(program)
    except OSError:
        return None
    try:
        first_line = os.pread(fd, _SHEBANG_LENGTH, 0).partition(b"\n")[0]
    finally:
        os.close(fd)
    if not first_line.startswith(b"#!"):
        return None
    words = os.fsdecode(first_line[2:]).split()
    if words and words[0] == _ENV:
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return executable(words[0], environment) if words else None


def _libraries(program: str, environment: Mapping[str, str]) -> list[str]:
    """What the program's dynamic loader says that it would load."""
    try:
        with ElfImage.open(program) as image:
            loader = image.interpreter
        if loader is None:
            return []
        result = subprocess.run(
            [loader, "--list", program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=_TIMEOUT,
            check=False,
        )
    except (ElfError, OSError, ValueError, subprocess.TimeoutExpired):
        return []
    return [os.fsdecode(path) for path in _LOADED.findall(result.stdout)]
