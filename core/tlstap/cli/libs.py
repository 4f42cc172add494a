"""`tlstap libs`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from tlstap.cli.command import Command
from tlstap.cli.loading import load_registry
from tlstap.cli.messages import say
from tlstap.cli.progress import progress
from tlstap.cli.tables import print_lines, print_table

if TYPE_CHECKING:
    from tlstap.discovery.report import FoundLibrary
    from tlstap.discovery.scan import Image, Scanner
    from tlstap.registry import Registry

_SHOWN_PROCESSES = 4


@click.command(
    "libs",
    cls=Command,
    examples=[
        ("tlstap libs", "what is on this machine"),
        ("tlstap libs -p 1234", "what a process uses"),
        ("tlstap libs --json | jq '.images[].path'", "for programs"),
    ],
)
@click.option(
    "-p", "--pid", "pids", type=click.IntRange(min=1), multiple=True, help="Only what this process maps."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--no-plugin", "excluded", metavar="NAME", multiple=True, help="Don't load this plugin.")
def command(pids: tuple[int, ...], as_json: bool, excluded: tuple[str, ...]) -> None:
    """List the TLS libraries that processes have mapped or that the dynamic loader knows.

    "Found by" tells how the functions that carry data were found: by a symbol (dynsym, symtab,
    gnu_debugdata, debug file) or by the plugin's locator.
    """
    from tlstap.discovery.cache import ReportCache
    from tlstap.discovery.processes import facts
    from tlstap.discovery.scan import Scanner
    from tlstap.errors import ProcessGoneError

    registry = load_registry(excluded)
    libraries = registry.libraries.values()
    with ExitStack() as stack:
        with progress("Looking for TLS libraries") as line:
            cache = ReportCache(libraries)
            scanner = stack.enter_context(
                Scanner(libraries, registry.locate, cache, show_work=line.look_into)
            )
            if pids:
                for pid in pids:
                    facts(pid)
                scanner.scan(pids)
            else:
                scanner.scan()
                scanner.scan_ldcache()
        names = {}
        for pid in {pid for image in scanner.images for pid in image.pids}:
            try:
                names[pid] = facts(pid).comm
            except ProcessGoneError:
                names[pid] = "(ended)"
        if as_json:
            print_lines([json.dumps(_document(scanner, names), indent=2)])
        else:
            _print(registry, scanner.images, names)
            for diagnostic in scanner.diagnostics.left_out.values():
                more = f" (and {diagnostic.count - 1} more)" if diagnostic.count > 1 else ""
                say(f"left out: {diagnostic.example}{more}")


def _document(scanner: Scanner, names: dict[int, str]) -> dict[str, Any]:
    return {
        "images": [
            {
                "path": image.path,
                **image.report.model_dump(mode="json"),
                "processes": [{"pid": pid, "comm": names[pid]} for pid in sorted(image.pids)],
            }
            for image in scanner.images
        ],
        "left_out": {
            kind: {"count": diagnostic.count, "example": diagnostic.example}
            for kind, diagnostic in scanner.diagnostics.left_out.items()
        },
    }


def _print(registry: Registry, images: Sequence[Image], names: dict[int, str]) -> None:
    rows = [
        (image.path, library.name, library.version or "?", _found_by(registry, library), _users(image, names))
        for image in sorted(images, key=lambda image: image.path)
        for library in image.report.libraries
        if not registry.libraries[library.name].stands_in_for
    ]
    if rows:
        print_table(("FILE", "LIBRARY", "VERSION", "FOUND BY", "PROCESSES"), rows)
    else:
        print_lines(["No TLS library that a plugin supports."])
    others = [
        (image.path, ", ".join(image.report.unsupported), _users(image, names))
        for image in sorted(images, key=lambda image: image.path)
        if image.report.unsupported
    ]
    if others:
        print_lines(["", "TLS code that no plugin supports:"])
        print_table(("FILE", "LIBRARY", "PROCESSES"), others)
    for image in images:
        for problem in image.report.problems:
            say(f"{image.path}: {problem}")


def _found_by(registry: Registry, library: FoundLibrary) -> str:
    """The means by which the functions that carry data were found."""
    from tlstap.tracing.plan import missing_directions, plan

    points = plan(
        registry.libraries[library.name],
        {function.name: function.probe_address for function in library.functions},
    )
    means = dict.fromkeys(
        function.means
        for point in points
        if point.probe.kind == "data" and (function := library.function(point.function))
    )
    missing = [f"no {direction} function" for direction in missing_directions(points)]
    stand_in = registry.stand_in(registry.libraries[library.name])
    fallback = [f"fallback: {stand_in.title}"] if missing and stand_in else []
    return ", ".join([*means, *missing, *fallback])


def _users(image: Image, names: dict[int, str]) -> str:
    by_name: dict[str, list[int]] = {}
    for pid in sorted(image.pids):
        by_name.setdefault(names[pid], []).append(pid)
    shown = []
    for name, pids in sorted(by_name.items()):
        more = f" +{len(pids) - _SHOWN_PROCESSES}" if len(pids) > _SHOWN_PROCESSES else ""
        shown.append(f"{name} {' '.join(map(str, pids[:_SHOWN_PROCESSES]))}{more}")
    return ", ".join(shown) or "-"
