"""`tlstap plugins check`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from tlstap.cli.command import Command
from tlstap.cli.tables import print_lines
from tlstap.sinks.escape import escape

if TYPE_CHECKING:
    from tlstap.conformance.report import Check

PROGRAM = "--program"


class _Check(Command):
    """All that follows --program is the program's command line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for place, word in enumerate(args):
            if word == PROGRAM or word.startswith(f"{PROGRAM}="):
                _, has_value, first = word.partition("=")
                ctx.meta[PROGRAM] = [*([first] if has_value else []), *args[place + 1 :]]
                if not ctx.meta[PROGRAM]:
                    raise click.UsageError(f"{PROGRAM} needs a program", ctx)
                args = args[:place]
                break
        return super().parse_args(ctx, args)


@click.command(
    "check",
    cls=_Check,
    examples=[
        ("tlstap plugins check wolfssl", "what the declaration finds in the system's files"),
        ("tlstap plugins check wolfssl --file libwolfssl.so", "in this file"),
        ("tlstap plugins check wolfssl --program ./driver", "on real traffic, as root"),
    ],
)
@click.argument("name", required=False)
@click.option("--file", "files", metavar="FILE", multiple=True, help="A file that contains the library.")
@click.option("--scenario", "scenarios", metavar="NAME", multiple=True, help="Only this scenario.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--no-plugin", "excluded", metavar="NAME", multiple=True, help="Don't load this plugin.")
@click.option("--protocol", "explain", is_flag=True, help="Explain how to write a driver, and the scenarios.")
@click.option(
    PROGRAM,
    "unused",
    metavar="PROGRAM [ARG]...",
    help="A driver: a program that plays the scenarios. Must come last. Needs root.",
)
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    files: tuple[str, ...],
    scenarios: tuple[str, ...],
    as_json: bool,
    excluded: tuple[str, ...],
    explain: bool,
    unused: str | None,
) -> int:
    """Check the plugin of a TLS library: its declaration, what it finds in the library's file, and,
    with a driver, whether a trace shows exactly what the driver moved.

    NAME is the library's or the plugin's. The exit status is 0 if no check failed, else 1.
    """
    from tlstap.conformance import check
    from tlstap.registry import Registry

    if explain:
        _explain()
        return 0
    if name is None:
        raise click.UsageError("NAME is missing", ctx)

    def show(one: Check) -> None:
        first, *more = one.line().splitlines()  # of what a compiler says there are several
        print_lines([escape(first), *(f"         {escape(line)}" for line in more)])
        sys.stdout.flush()

    report = check(
        name,
        ctx.meta.get(PROGRAM, ()),
        files,
        scenarios=scenarios,
        registry=Registry.load(excluded),
        tell=(lambda one: None) if as_json else show,
    )
    if as_json:
        print_lines([json.dumps(report.document(), indent=2)])
    return 0 if report.ok else 1


def _explain() -> None:
    from tlstap.conformance.observe import DRIVER_HEADER
    from tlstap.conformance.scenarios import PROTOCOL, SCENARIOS

    print_lines([f"{PROTOCOL}{DRIVER_HEADER}", "", "Scenarios:", ""])
    print_lines(f"  {name:<14} {text}" for name, text in SCENARIOS.items())
