"""`tlstap doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tlstap.cli.command import Command
from tlstap.cli.progress import progress
from tlstap.cli.tables import print_lines
from tlstap.sinks.escape import escape

if TYPE_CHECKING:
    from tlstap.tracing.checks import Check

MARKS = {True: "ok", None: "limited", False: "NOT POSSIBLE"}
_NAME_WIDTH = 18
_MARK_WIDTH = 14


@click.command(
    "doctor",
    cls=Command,
    examples=[
        ("tlstap doctor", "can this machine trace"),
        ("tlstap doctor -p 1234", "why does this process show nothing"),
    ],
)
@click.option("-p", "--pid", "pids", type=click.IntRange(min=1), multiple=True, help="Look at this process.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--no-plugin", "excluded", metavar="NAME", multiple=True, help="Don't load this plugin.")
def command(pids: tuple[int, ...], as_json: bool, excluded: tuple[str, ...]) -> int:
    """Check whether this machine can trace, and why a process shows nothing.

    The exit status is 1 if something is not possible.
    """
    from tlstap.registry import Registry
    from tlstap.tracing.checks import machine_checks, process_checks

    registry = Registry.load(excluded)
    with progress("Trying to trace") as line:
        checks = list(machine_checks(registry))
        for pid in pids:
            checks += process_checks(registry, pid, line.look_into)
    if as_json:
        print_lines([json.dumps({"checks": [_document(check) for check in checks]}, indent=2)])
    else:
        for check in checks:
            print_lines([_line(check)])
    return 0 if all(check.ok is not False for check in checks) else 1


def _line(check: Check) -> str:
    return f"{check.name:{_NAME_WIDTH}} {MARKS[check.ok]:{_MARK_WIDTH}} {escape(check.text)}".rstrip()


def _document(check: Check) -> dict[str, str | bool | None]:
    return {"name": check.name, "ok": check.ok, "text": check.text}
