"""The option for schemas, which trace and replay share."""

from __future__ import annotations

import click

protoset_option = click.option(
    "--protoset",
    "protosets",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="FileDescriptorSet for gRPC, as protoc --descriptor_set_out --include_imports or grpcurl's "
    "-protoset-out writes it. Repeatable.",
)
"""Repeatable; the command gets the files' names as `protosets`."""
