"""`tlstap schema`."""

from __future__ import annotations

import json

import click

from tlstap.cli.command import Command


@click.command(
    "schema",
    cls=Command,
    examples=[("tlstap schema > tlstap.schema.json", "save the schema, to check or generate code from it")],
)
def command() -> None:
    """Print the JSON Schema of the events, as `-f json` writes one to each line."""
    from tlstap.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
