"""`tlstap plugins`: what is loaded; with a subcommand, help for those who write plugins."""

from __future__ import annotations

import importlib

import click

from tlstap.cli.command import write_examples
from tlstap.cli.plugins.listing import show

COMMANDS: dict[str, str] = {
    "new": "Write the skeleton of a plugin.",
    "check": "Check a plugin on a program that uses its library.",
}
"""Name and a line of help. The command is `command` in the module `tlstap.cli.plugins.<name>`."""

EXAMPLES = (
    ("tlstap plugins", "what is loaded, and what failed"),
    ("tlstap plugins --json", "for programs"),
    ("tlstap plugins new tlstap-wolfssl", "begin a plugin of your own"),
    ("tlstap plugins check wolfssl --program ./driver", "see whether it does what it should"),
)


class Plugins(click.Group):
    """The group; its subcommands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"tlstap.cli.plugins.{cmd_name}").command
        return command

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, EXAMPLES)
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group("plugins", cls=Plugins, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--no-plugin", "excluded", metavar="NAME", multiple=True, help="Don't load this plugin.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, excluded: tuple[str, ...]) -> None:
    """List the loaded plugins, where each comes from and what it supports, and those that failed."""
    if ctx.invoked_subcommand is None:
        show(as_json, excluded)
