"""The output options, which trace and replay share, and the output that they stand for."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

import click

from tlstap.cli.files import create_private
from tlstap.cli.values import ALL, byte_limit, complete_format, complete_kinds, kinds
from tlstap.errors import PluginError, TlstapError, UsageError

if TYPE_CHECKING:
    from tlstap.sinks.base import OutputOptions, Sink, SinkType
    from tlstap.sinks.emit import Emitter


@dataclass(frozen=True, slots=True)
class OutputArguments:
    """What the output options say. `max_body` is None if it was not given."""

    format: str = "text"
    file: str | None = None
    only: frozenset[str] | None = None
    max_body: int | str | None = None
    color: str = "auto"
    summary: bool = False

    @property
    def is_on_terminal(self) -> bool:
        """Whether the records themselves go by on a terminal."""
        return self.file is None and sys.stdout is not None and sys.stdout.isatty()


_OPTIONS = (
    click.option(
        "-f",
        "--format",
        "output_format",
        metavar="FORMAT",
        shell_complete=complete_format,
        default="text",
        show_default=True,
        help="text, json, hex or har, or one that a plugin adds.",
    ),
    click.option(
        "-o",
        "--output",
        "output_file",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Write there instead of to stdout. Only its owner can read the file.",
    ),
    click.option(
        "--only",
        callback=kinds,
        shell_complete=complete_kinds,
        metavar="KIND[,KIND]",
        help="Only these kinds of events: open, handshake, data, http, message, close, lost. In text, http "
        "shows gRPC messages and server-sent events as well, for they are bodies; message shows them without "
        "the rest of HTTP, and the messages of WebSocket and other protocols.",
    ),
    click.option(
        "--summary",
        is_flag=True,
        help="In text, one line for each request with its response, when both are over.",
    ),
    click.option(
        "--max-body",
        callback=byte_limit,
        metavar="BYTES",
        help="In text, how much to show of a body or of data that is not decoded: a number, also with K or "
        "M, 0 for nothing or all for everything. Default: 4K of text, 128 bytes of anything else.",
    ),
    click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="auto: on a terminal, unless NO_COLOR is set.",
    ),
)


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the output options to a command, which gets them as `output: OutputArguments`."""

    @functools.wraps(function)
    def with_output(
        *args: Any,
        output_format: str,
        output_file: str | None,
        only: frozenset[str] | None,
        max_body: int | str | None,
        color: str,
        summary: bool,
        **kwargs: Any,
    ) -> Any:
        output = OutputArguments(output_format, output_file, only, max_body, color, summary)
        return function(*args, output=output, **kwargs)

    decorated: Callable[..., Any] = with_output
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@contextmanager
def open_output(
    arguments: OutputArguments,
    sinks: Mapping[str, SinkType],
    third_party: Callable[[SinkType], str | None] = lambda sink: None,
) -> Iterator[Emitter]:
    """The output that was asked for, finished and closed at the end, whatever ended it.

    :param third_party: see Registry.third_party.
    :raises UsageError: no such format, one that does not show what `--only` asks for, or has no summary.
    :raises TlstapError: the file can't be written.
    :raises PluginError: a third party's format failed.
    """
    from tlstap.convert import DECODED_KINDS
    from tlstap.sinks.emit import Emitter

    sink_type = _choose(arguments, sinks)
    to_file = arguments.file is not None and arguments.file != "-"
    stream = create_private(arguments.file) if to_file and arguments.file else _standard_output()
    try:
        kinds = _kinds(sink_type, arguments)
        shown = kinds if arguments.only is None else kinds & arguments.only
        owner = third_party(sink_type)
        sink = _create(sink_type, stream, options_for(arguments, stream), owner)
        wants_messages = not shown.isdisjoint(DECODED_KINDS)
        emitter = Emitter(sink, stream, wants_messages=wants_messages, third_party=owner)
        try:
            yield emitter
        except BaseException:
            # The end of the output is owed all the same; what is told is the first error.
            with suppress(OSError, ValueError, PluginError):
                emitter.close()
            raise
        emitter.close()
    finally:
        if to_file:
            stream.close()


def _create(sink_type: SinkType, stream: TextIO, options: OutputOptions, owner: str | None) -> Sink:
    from tlstap.sinks.base import Sink
    from tlstap.sinks.emit import blame_sink

    if owner is None:
        return sink_type.create(stream, options)
    try:
        sink = sink_type.create(stream, options)
        if not isinstance(sink, Sink):
            raise TypeError(f"it returned {sink!r:.60}, which is no Sink")
    except (Exception, SystemExit) as error:
        raise PluginError(blame_sink(owner, "create", error)) from error
    return sink


def options_for(arguments: OutputArguments, stream: TextIO) -> OutputOptions:
    """What a sink that writes to `stream` is to heed."""
    from tlstap.sinks.base import OutputOptions

    terminal = stream.isatty()
    # An empty NO_COLOR counts as not set: https://no-color.org
    wanted = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    color = {"auto": wanted, "always": True, "never": False}[arguments.color]
    width = shutil.get_terminal_size().columns if terminal else None
    options = OutputOptions(kinds=arguments.only, color=color, width=width, summary=arguments.summary)
    if arguments.max_body is None:
        return options
    limit = None if arguments.max_body == ALL else int(arguments.max_body)
    return replace(options, max_body=limit, max_binary=limit)


def _choose(arguments: OutputArguments, sinks: Mapping[str, SinkType]) -> SinkType:
    try:
        chosen = sinks[arguments.format]
    except KeyError:
        raise UsageError(f"no format {arguments.format!r}; there are {', '.join(sinks)}") from None
    if arguments.summary and chosen.summary_kinds is None:
        raise UsageError(f"-f {chosen.name} has no summary; leave out --summary or -f {chosen.name}")
    shown = _kinds(chosen, arguments)
    if arguments.only is not None and not arguments.only & shown:
        raise UsageError(
            f"-f {chosen.name}{' --summary' if arguments.summary else ''} shows only "
            f"{', '.join(sorted(shown))}; nothing of --only {','.join(sorted(arguments.only))}"
        )
    return chosen


def _kinds(sink: SinkType, arguments: OutputArguments) -> frozenset[str]:
    """The kinds of events that the format can show, in this manner."""
    return (sink.summary_kinds or frozenset()) if arguments.summary else sink.kinds


def _standard_output() -> TextIO:
    if sys.stdout is None:
        raise TlstapError("stdout is closed; give -o FILE")
    if isinstance(sys.stdout, TextIOWrapper):
        # Flushed by the emitter after each batch; what a terminal's character set lacks is escaped.
        sys.stdout.reconfigure(
            encoding=None if sys.stdout.isatty() else "utf-8",
            errors="backslashreplace",
            line_buffering=False,
        )
    return sys.stdout
