"""`tlstap replay`."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import click

from tlstap.cli.command import Command
from tlstap.cli.messages import say
from tlstap.cli.output import OutputArguments, open_output, output_options
from tlstap.cli.progress import progress
from tlstap.cli.protoset import protoset_option
from tlstap.errors import CaptureError
from tlstap.sinks.escape import escape

if TYPE_CHECKING:
    from tlstap.registry import Registry

STDIN = "-"
READ_SIZE = 1 << 18
PATIENCE = 0.25
"""Seconds after which Ctrl-C is noticed at the latest."""


@click.command(
    "replay",
    cls=Command,
    examples=[
        ("tlstap replay capture.json", "show a saved capture"),
        ("tlstap replay capture.json --only http -f json", "its HTTP exchanges, for programs"),
        ("ssh server tlstap -f json | tlstap replay -", "show what another machine captures"),
    ],
)
@click.argument("file", type=click.Path(allow_dash=True))
@protoset_option
@output_options
@click.option("--no-plugin", metavar="NAME", multiple=True, help="Don't load this plugin. Repeatable.")
def command(
    file: str, protosets: tuple[str, ...], output: OutputArguments, no_plugin: tuple[str, ...]
) -> int:
    """Decode a capture that was saved with -f json. `-` reads it from stdin.

    HTTP is decoded anew from the data events, so a capture that was saved with --only http shows nothing.
    """
    from tlstap.cli.loading import load_registry

    registry = load_registry(no_plugin, protosets)
    descriptor, size = _open(file)
    try:
        _replay(file, descriptor, size, output, registry)
    finally:
        if file != STDIN:
            os.close(descriptor)
    return 0


def _replay(file: str, descriptor: int, size: int, output: OutputArguments, registry: Registry) -> None:
    from tlstap.capture import CaptureReader, read_lines
    from tlstap.pipeline import Passthrough, Pipeline

    name = "stdin" if file == STDIN else file
    error: CaptureError | None = None
    with (
        open_output(output, registry.sinks, registry.third_party) as emitter,
        progress(f"Reading {escape(name)}", size or None, enabled=not output.is_on_terminal) as line,
    ):
        pipeline = (
            Pipeline(
                registry.protocols, registry.body_formats, on_problem=say, third_party=registry.third_party
            )
            if emitter.wants_messages
            else Passthrough()
        )
        done = 0

        def read() -> bytes:
            nonlocal done
            # Before a wait for more, whoever reads the output gets what there is.
            emitter.flush()
            try:
                # A signal that comes right before a blocking call is noticed only when that returns.
                while not select.select([descriptor], [], [], PATIENCE)[0]:
                    pass
                chunk = os.read(descriptor, READ_SIZE)
            except OSError as problem:
                raise CaptureError(f"can't read {name}: {problem.strerror}") from None
            done += len(chunk)
            line.update(done)
            return chunk

        reader = CaptureReader(read_lines(read, name), name)
        try:
            for record in reader:
                emitter.write(pipeline.feed(record))
        except CaptureError as problem:
            error = problem
        finally:
            emitter.write(pipeline.finish(reader.last_time_ns))
    if error is not None:
        raise error


def _open(file: str) -> tuple[int, int]:
    """Descriptor, and size where there is one, else 0."""
    if file == STDIN:
        return 0, 0
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        return descriptor, os.fstat(descriptor).st_size
    except OSError as error:
        raise CaptureError(f"can't read {file}: {error.strerror}") from None
