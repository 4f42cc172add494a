"""The command line. One module a subcommand; they are listed in `commands.py`."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from tlstap.cli.commands import COMPLETE_VARIABLE, NAME, group
from tlstap.cli.messages import say, say_lines
from tlstap.errors import TlstapError

DEBUG_VARIABLE = "TLSTAP_DEBUG"
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tlstap` with these arguments (sys.argv's by default) and return its exit status.

    Every error becomes a line on stderr. TLSTAP_DEBUG=1 in the environment shows its traceback as well.
    """
    try:
        if COMPLETE_VARIABLE in os.environ:
            group.main(prog_name=NAME)
        status = _run(sys.argv[1:] if argv is None else argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
            say_lines(traceback.format_exc())
        status = _explain(error)
        _abandon_stdout()
    except KeyboardInterrupt:
        status = INTERRUPTED
        _abandon_stdout()
    return status


def _run(arguments: Sequence[str]) -> int:
    # Not group.main(): click ends a broken pipe with status 1 and a usage error with four lines.
    try:
        with group.make_context(NAME, list(arguments)) as context:
            return group.invoke(context) or 0
    except click.exceptions.Exit as end:
        return end.exit_code


def _explain(error: Exception) -> int:
    """Say what went wrong; the exit status that goes with it."""
    match error:
        case BrokenPipeError():
            return 0
        case TlstapError():
            say(str(error))
            return error.exit_status
        case click.UsageError():
            say(error.format_message())
            if error.ctx is not None:
                say(f"try '{error.ctx.command_path} --help'")
            return error.exit_code
        case click.ClickException():
            say(error.format_message())
            return error.exit_code
        case click.Abort():
            return INTERRUPTED
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            say(f"{place}{error.strerror or error}")
            return 1
        case _:
            say(
                f"internal error: {type(error).__name__}: {error}; "
                f"please report it with the output of {DEBUG_VARIABLE}=1"
            )
            return 1


def _abandon_stdout() -> None:
    """Keep the interpreter from complaining at its end about what it can't write any more."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
