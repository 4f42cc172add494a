"""`tlstap completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tlstap.cli.command import Command
from tlstap.cli.commands import COMPLETE_VARIABLE, NAME

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Command,
    examples=[
        ("tlstap completion bash > /etc/bash_completion.d/tlstap", "for all users of bash"),
        ('eval "$(tlstap completion zsh)"', "in ~/.zshrc, for yourself"),
        ("tlstap completion fish > ~/.config/fish/completions/tlstap.fish", "for yourself in fish"),
    ],
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete tlstap's commands and options."""
    completion = get_completion_class(shell)
    assert completion is not None
    root = click.get_current_context().find_root().command
    # Not .source(): for bash that starts one to ask for its version.
    script = completion(root, {}, NAME, COMPLETE_VARIABLE)
    click.echo(script.source_template % script.source_vars())
