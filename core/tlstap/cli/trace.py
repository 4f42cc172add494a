"""`tlstap trace`, which is what a bare `tlstap` means."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tlstap.cli.command import Command
from tlstap.cli.looking import LookingInto
from tlstap.cli.messages import say
from tlstap.cli.output import OutputArguments, open_output, output_options
from tlstap.cli.progress import progress
from tlstap.cli.protoset import protoset_option
from tlstap.cli.values import byte_size, given_addresses, names, users

if TYPE_CHECKING:
    from tlstap.discovery.given import GivenAddress
    from tlstap.registry import Registry
    from tlstap.tracing.options import Options
    from tlstap.tracing.session import Session

TERMINATED = 128 + signal.SIGTERM


@click.command(
    "trace",
    cls=Command,
    context_settings={"allow_interspersed_args": False},
    examples=[
        ("tlstap -- curl https://example.com", "run a command and show its TLS traffic"),
        ("tlstap -p 1234", "show that of a running process"),
        ("tlstap -c nginx --only http -f json", "HTTP of all nginx processes, for programs"),
        ("tlstap --lib openssl --duration 10", "what OpenSSL carries in ten seconds"),
    ],
)
@click.option("-p", "--pid", type=int, multiple=True, metavar="PID", help="Only this process. Repeatable.")
@click.option(
    "-u",
    "--uid",
    multiple=True,
    callback=users,
    metavar="USER",
    help="Only this user, by id or name. Repeatable.",
)
@click.option(
    "-c", "--comm", multiple=True, metavar="NAME", help="Only processes or threads of this name. Repeatable."
)
@click.option("--exe", multiple=True, metavar="PATH", help="Only processes that run this file. Repeatable.")
@click.option(
    "--lib",
    multiple=True,
    callback=names,
    metavar="NAME[,NAME]",
    help="Only these TLS libraries, as tlstap plugins lists them. Repeatable.",
)
@click.option("--no-plugin", metavar="NAME", multiple=True, help="Don't load this plugin. Repeatable.")
@click.option(
    "--duration", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop by itself after this time."
)
@click.option(
    "--buffer",
    callback=byte_size,
    default="16M",
    show_default=True,
    metavar="BYTES",
    help="Size of the buffer between kernel and tlstap, a power of two; more for bursts of traffic.",
)
@click.option(
    "--attach",
    type=click.Choice(["auto", "multi", "single"]),
    default="auto",
    help="How to attach probes: many at once (Linux 6.6) or one by one. Default: what the kernel has.",
)
@click.option(
    "--sockets",
    type=click.Choice(["auto", "tracepoint", "kprobe", "syscall", "none"]),
    default="auto",
    help="How to learn the addresses of connections. Default: the best that the kernel has.",
)
@click.option(
    "--at",
    "given",
    multiple=True,
    callback=given_addresses,
    metavar="FILE:FUNCTION=ADDRESS",
    help="Where a function is that tlstap does not find in a stripped file. Repeatable.",
)
@protoset_option
@output_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(
    pid: tuple[int, ...],
    uid: frozenset[int],
    comm: tuple[str, ...],
    exe: tuple[str, ...],
    lib: frozenset[str],
    no_plugin: tuple[str, ...],
    duration: float | None,
    buffer: int,
    attach: str,
    sockets: str,
    given: tuple[GivenAddress, ...],
    protosets: tuple[str, ...],
    output: OutputArguments,
    command: tuple[str, ...],
) -> int:
    """Show the plaintext of TLS traffic until Ctrl-C.

    Kinds of filters are combined with "and", values of one kind with "or". With COMMAND, that is started
    when the probes are in place, it and its children are traced, and tlstap ends with it and with its exit
    status.
    """
    from tlstap.cli.loading import load_registry
    from tlstap.tracing.filters import Filters
    from tlstap.tracing.kernel import Attachment, Sockets
    from tlstap.tracing.options import Options

    filters = Filters(frozenset(pid), uid, frozenset(comm), frozenset(exe), libraries=lib)
    options = Options(
        filters,
        duration,
        buffer,
        command,
        attachment=None if attach == "auto" else Attachment[attach.upper()],
        sockets=None if sockets == "auto" else (Sockets[sockets.upper()],),
        given=given,
    )
    return trace(load_registry(no_plugin, protosets), options, output)


def trace(registry: Registry, options: Options, output: OutputArguments) -> int:
    """Trace and write to the output that was asked for; the exit status."""
    from tlstap.cli.coverage import say_coverage, say_summary
    from tlstap.pipeline import Passthrough, Pipeline
    from tlstap.tracing.session import Session

    with open_output(output, registry.sinks, registry.third_party) as emitter:
        pipeline = (
            Pipeline(
                registry.protocols, registry.body_formats, on_problem=say, third_party=registry.third_party
            )
            if emitter.wants_messages
            else Passthrough()
        )
        with progress("Looking for TLS libraries and compiling the BPF program") as line:
            session = Session(registry, options, say, line.look_into)
            session.start()
        with session, _signals(session), ExitStack() as late:
            say_coverage(session)
            looking = late.enter_context(LookingInto(session, output.is_on_terminal))
            writing = progress("Writing what was captured", enabled=not output.is_on_terminal)

            def idle() -> None:
                emitter.flush()
                looking.update()

            try:
                for record in session.records(idle, ending=lambda: late.enter_context(writing)):
                    looking.give_way()
                    emitter.write(pipeline.feed(record))
            finally:
                # Also after an error: what was captured of open exchanges is not lost.
                emitter.write(pipeline.finish(session.now()))
            emitter.flush()
            if session.child is not None:
                session.child.terminate()
        say_summary(session, emitter)
    return _status(session)


def _status(session: Session) -> int:
    if session.child is None:
        return 0
    session.child.wait()
    return session.child.status or 0


@contextmanager
def _signals(session: Session) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the trace in order.

    A terminal sends Ctrl-C to a command that runs under tlstap as well, and the command decides; tlstap ends
    when it does.
    """
    interrupts = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        if session.child is None or number == signal.SIGTERM or interrupts > 1:
            session.stop()
        elif not sys.stdin.isatty():
            session.child.send(signal.SIGINT)

    before: dict[int, Any] = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
