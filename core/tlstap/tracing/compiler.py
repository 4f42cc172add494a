"""Compiles the BPF program. A third party's C may break the compiler itself, which then ends its process:
such a text is compiled in a process of its own first, once, and only then in this one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from importlib.resources import as_file, files
from typing import Any

from tlstap import cachefile
from tlstap.errors import CompileError, KernelError
from tlstap.tracing.descriptors import captured_stderr

SECONDS = 60.0
"""For a compiler that does not come to an end."""
MAX_WORDS = 1 << 20
_LAST_WORDS = 1500
_PREFIX = "compiled-"
_MAX_FILES = 32
_ORDINARY = 3
"""Exit status of the other process if the text does not compile, but the compiler came through."""

Capture = Callable[[], AbstractContextManager[Callable[[], str]]]


def compile_program(text: str, flags: Sequence[str], capture: Capture = captured_stderr) -> Any:
    """BCC's BPF object for a text.

    :param capture: how to come by what the compiler says.
    :raises CompileError: it does not compile.
    :raises KernelError: there is no BCC.
    """
    with as_file(files("tlstap").joinpath("bpf", "include")) as stubs, capture() as words:
        # BCC insists on kernel headers; these stubs are all that the program needs.
        os.environ["BCC_KERNEL_SOURCE"] = str(stubs)
        try:
            from bcc import BPF, lib
        except ImportError:
            raise KernelError(
                "Python's bcc is missing; install it from the distribution (Debian: apt-get install "
                "python3-bpfcc) and use a virtual environment of /usr/bin/python3 with system site packages"
            ) from None
        try:
            program = BPF(text=text, cflags=["-Werror=implicit-function-declaration", *flags])
        except Exception as error:
            raise _error(str(error), words()) from None
        program.lib = lib
        return program


def survive(text: str, flags: Sequence[str]) -> None:
    """Compile a text in another process, unless that went well before. Ordinary errors show later.

    :raises CompileError: the compiler broke down, or did not come to an end.
    """
    name = _PREFIX + hashlib.blake2b(f"{version('tlstap')}\0{text}".encode(), digest_size=16).hexdigest()
    if cachefile.load(name) is not None:
        return
    # -P: nothing is imported from the current folder.
    # The compiler may abort, or exit with any status.
    command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()"]
    given = json.dumps([text, list(flags)])
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _error(f"the compiler did not end in {SECONDS:g} s", "") from None
    if done.returncode not in (0, _ORDINARY):
        raise _error("the compiler broke down", done.stderr)
    if done.returncode == 0 and cachefile.store(name, b"1"):
        cachefile.keep_newest(_PREFIX, _MAX_FILES)


def main() -> None:
    """The other process: text and flags come as JSON on stdin."""
    text, flags = json.load(sys.stdin)
    try:
        compile_program(text, flags, lambda: nullcontext(lambda: ""))
    except (CompileError, KernelError):
        sys.exit(_ORDINARY)


def _error(what: str, said: str) -> CompileError:
    said = said[:MAX_WORDS]
    return CompileError(f"the BPF program does not compile: {what}\n{said.strip()[-_LAST_WORDS:]}", said)
