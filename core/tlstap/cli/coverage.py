"""What tlstap says of a trace on stderr: what is traced and what can't be, and at the end what was lost."""

from __future__ import annotations

from collections.abc import Iterable

from tlstap.cli.messages import say
from tlstap.discovery import processes
from tlstap.errors import ProcessGoneError
from tlstap.sinks.emit import Emitter
from tlstap.tracing.machine import ProbedImage
from tlstap.tracing.session import Session

NAMED_PROCESSES = 5
"""How many processes of a library are named."""


def say_coverage(session: Session) -> None:
    """The first lines of a trace; the one that begins with "tracing" says that the probes are in place."""
    images = session.coverage.images
    wanted = session.pids_of_interest()
    pids = set().union(*(one.image.pids for one in images)) & wanted
    for one in sorted(images, key=lambda one: (one.library.name, one.info.path or "")):
        say(_image_text(one, one.image.pids & pids))
    for problem in session.coverage.problems:
        say(problem)
    for large in session.scanner.large:
        say(f"looking into {large.path}, which takes a moment; what it has is traced from then on")
    _say_what_is_dark(session, wanted)
    libraries = _count(len(images), "library", "libraries")
    where = "the command" if session.child else _count(len(pids), "process", "processes")
    say(f"tracing {libraries} in {where}")


def _image_text(one: ProbedImage, pids: Iterable[int]) -> str:
    version = f" {one.info.version}" if one.info.version else ""
    users = sorted(pids)
    named = [_process_text(pid) for pid in users[:NAMED_PROCESSES]]
    if len(users) > NAMED_PROCESSES:
        named.append(f"and {len(users) - NAMED_PROCESSES} more")
    by = f": {', '.join(named)}" if named else ""
    return f"{one.library.title}{version}, {one.info.path}{by}"


def _process_text(pid: int) -> str:
    try:
        return f"{processes.facts(pid).comm} {pid}"
    except (ProcessGoneError, PermissionError):
        return str(pid)


def _say_what_is_dark(session: Session, wanted: frozenset[int]) -> None:
    """Processes that were asked for and that nothing will be seen of, with the reason."""
    traced_images = [one.image for one in session.coverage.images]
    of_command = session.images_of_command()
    command_is_dark = session.child is not None and not any(image in traced_images for image in of_command)
    for image in session.scanner.images:
        for name in image.report.unsupported:
            if image.pids & wanted or (command_is_dark and image in of_command):
                say(f"{image.path}: has {name}, which no plugin supports")
    traced = set().union(*(image.pids for image in traced_images))
    for pid in sorted(session.asked_for_pids - traced):
        say(f"process {pid} has no TLS library that is traced; waiting for it to load one")
    if command_is_dark:
        say("the command loads no TLS library that is traced when it starts; it may load one later")
    if session.child is not None:
        return
    for kind, diagnostic in session.scanner.diagnostics.left_out.items():
        if kind in ("malformed", "unreadable"):
            more = f" (and {diagnostic.count - 1} more)" if diagnostic.count > 1 else ""
            say(f"left out: {diagnostic.example}{more}")


def say_summary(session: Session, emitter: Emitter) -> None:
    """The last line, or lines: what was seen, and everything that was lost."""
    summary = session.summary
    lost = "nothing lost"
    if summary.lost_records:
        lost = (
            f"{_count(summary.lost_records, 'record', 'records')} and "
            f"{_count(summary.lost_bytes, 'byte', 'bytes')} lost; a larger --buffer may help"
        )
    say(f"{_count(emitter.events, 'event', 'events')}, {lost}")
    if summary.left_out_records:
        say(f"{_count(summary.left_out_records, 'captured record', 'captured records')} left out")
    for size, what in (
        (summary.unreadable_bytes, "could not be read from their process's memory"),
        (summary.beyond_bound_bytes, "were beyond the 4 MiB that are captured of one call"),
    ):
        if size:
            say(f"{_count(size, 'byte', 'bytes')} {what}")
    for count, what in (
        (summary.nested_too_deep, "nested too deep to be followed"),
        (summary.implausible, "left out, because they claimed to have moved more than they were asked to"),
    ):
        if count:
            say(f"{_count(count, 'call', 'calls')} {what}")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
