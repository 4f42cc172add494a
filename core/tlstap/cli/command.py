"""A command whose help begins with examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

Example = tuple[str, str]
"""(command line, what it does)."""


class Command(click.Command):
    """click's command with `examples`, which its help shows first."""

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[Example]) -> None:
    """The examples, each with what it does on a line of its own if there is no room beside it."""
    if examples:
        with formatter.section("Examples"):
            formatter.write_dl(examples, col_max=44)
        formatter.write_paragraph()
