"""The subcommands, imported when they are used: help and completion must come at once."""

from __future__ import annotations

import importlib
from typing import Any

import click
from click.shell_completion import CompletionItem

from tlstap.cli.command import write_examples

NAME = "tlstap"
COMPLETE_VARIABLE = "_TLSTAP_COMPLETE"
DEFAULT = "trace"

COMMANDS: dict[str, str] = {
    "trace": "Show the plaintext of TLS traffic (the default).",
    "libs": "List TLS libraries and the processes that use them.",
    "inspect": "Show how the TLS functions of one file are found.",
    "plugins": "List plugins, what they support, and what failed.",
    "doctor": "Check why something can't be traced or shows nothing.",
    "replay": "Decode and show a capture saved with -f json.",
    "schema": "Print the JSON Schema of the events.",
    "completion": "Print the completion script for a shell.",
}
"""Name and a line of help. The command is `command` in the module `tlstap.cli.<name>`."""

EXAMPLES = (
    ("tlstap -- curl https://example.com", "run a command and show its TLS traffic"),
    ("tlstap -p 1234", "show that of a running process"),
    ("tlstap -c nginx --only http", "HTTP of all processes of that name"),
    ("tlstap -f json -o capture.json", "save everything of the whole machine"),
    ("tlstap replay capture.json", "show what was saved"),
    ("tlstap doctor -p 1234", "find out why a process shows nothing"),
)


class Commands(click.Group):
    """The group with its default command: what begins with an option belongs to `trace`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"tlstap.cli.{cmd_name}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {option for parameter in self.get_params(ctx) for option in parameter.opts}
        # While a shell completes the first word, it can still become a command's name.
        if (not args and not ctx.resilient_parsing) or (
            args and args[0].startswith("-") and args[0] not in own
        ):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not ctx.resilient_parsing:
            raise click.UsageError(
                f"no command {name!r}; there are {', '.join(COMMANDS)}. To run a program: tlstap -- {name}",
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, EXAMPLES)
        super().format_help(ctx, formatter)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(NAME, "[trace] [OPTIONS] [-- COMMAND [ARG ...]]")
        formatter.write_usage(NAME, "COMMAND ...", prefix=" " * len("Usage: "))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [
            CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)
        ]
        found += click.Command.shell_complete(self, ctx, incomplete)
        if incomplete.startswith("-"):
            default = self.get_command(ctx, DEFAULT)
            assert default is not None
            seen = {item.value for item in found}
            with default.make_context(DEFAULT, [], parent=ctx, resilient_parsing=True) as inner:
                found += [
                    item for item in default.shell_complete(inner, incomplete) if item.value not in seen
                ]
        return found


def _show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> Any:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"{NAME} {version(NAME)}")
        ctx.exit()


@click.group(
    NAME,
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Options that stand before a command are those of trace: see tlstap trace --help. Exit status: 0 "
    "done, 1 can't, 2 wrong usage, otherwise that of the command that was run.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def group() -> None:
    """Show the plaintext of TLS traffic of any process, by eBPF uprobes on its TLS library.

    Captured data goes to stdout, what tlstap says about itself to stderr.
    """
