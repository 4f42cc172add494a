"""Tables on stdout, for a terminal's width or, in a pipe, as wide as they need to be."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from tlstap.sinks.escape import escape

_UNLIMITED = 100_000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns' names. Cells are escaped; what is too wide for a terminal is folded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else _UNLIMITED, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escape(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    print_lines(line.rstrip() for line in captured.get().splitlines())


def print_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout as they are."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
