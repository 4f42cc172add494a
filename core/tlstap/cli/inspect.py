"""`tlstap inspect`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlstap.cli.command import Command
from tlstap.cli.loading import load_registry
from tlstap.cli.progress import looking_into, progress
from tlstap.cli.tables import print_lines, print_table
from tlstap.sinks.escape import escape

if TYPE_CHECKING:
    from tlstap.discovery.report import FoundLibrary, ImageReport
    from tlstap.library import Library
    from tlstap.registry import Registry


@click.command(
    "inspect",
    cls=Command,
    examples=[
        ("tlstap inspect /usr/lib/x86_64-linux-gnu/libssl.so.3", "a library"),
        ("tlstap inspect $(which node)", "a program with a library inside"),
    ],
)
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--no-plugin", "excluded", metavar="NAME", multiple=True, help="Don't load this plugin.")
def command(file: str, as_json: bool, excluded: tuple[str, ...]) -> None:
    """Show which TLS libraries an ELF file contains and where each of their functions is.

    The file is looked into afresh; what is found is kept for traces to come.

    A probe on an instruction that the kernel emulates costs far less than one that it must step over.
    """
    from tlstap.discovery.cache import ReportCache
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.large_files import Work
    from tlstap.discovery.processes import open_beside
    from tlstap.discovery.scan import examine

    registry = load_registry(excluded)
    beside = partial(open_beside, None, str(Path(file).resolve()))
    with ElfImage.open(file) as image, progress(looking_into(file)) as line:
        image.progress = Work(file, image.size, line.look_into)
        libraries = registry.libraries.values()
        report, entry = examine(image, libraries, registry.locate, beside)
        # So that a trace need not look into it again.
        cache = ReportCache(libraries)
        cache.put(image.identity, entry)
        cache.save()
    if as_json:
        print_lines([json.dumps({"path": file, **report.model_dump(mode="json")}, indent=2)])
    else:
        _print(registry, file, report)


def _print(registry: Registry, file: str, report: ImageReport) -> None:
    print_lines([escape(file), f"{report.machine}, build-id {report.build_id or 'none'}"])
    for found in report.libraries:
        library = registry.libraries[found.name]
        print_lines(["", escape(f"{library.title} {found.version or '(version unknown)'}")])
        _print_functions(library, found)
        for missing in found.missing:
            print_lines([escape(f"not there: {missing.name} ({missing.reason})")])
    if report.unsupported:
        print_lines(["", f"TLS code that no plugin supports: {', '.join(report.unsupported)}"])
    elif not report.libraries:
        print_lines(["", "No TLS library that a plugin supports."])
    for problem in report.problems:
        print_lines([escape(f"problem: {problem}")])


def _print_functions(library: Library, found: FoundLibrary) -> None:
    from tlstap.discovery.given import OPTION
    from tlstap.tracing.plan import missing_directions, plan

    points = plan(library, {function.name: function.probe_address for function in found.functions})
    kinds: dict[str, list[str]] = {}
    for point in points:
        probe = point.probe
        kind = probe.direction if probe.kind == "data" else probe.kind
        kinds.setdefault(point.function, []).append(kind)
    print_table(
        ("FUNCTION", "ADDRESS", "FOUND BY", "PROBE", "FIRST INSTRUCTION"),
        (
            (
                function.name,
                f"{function.probe_address:#x}",
                function.means,
                ", ".join(dict.fromkeys(kinds.get(function.name, ["-"]))),
                f"{function.first_instruction} ({'emulated' if function.emulated else 'stepped'})",
            )
            for function in found.functions
        ),
    )
    for direction in missing_directions(points):
        print_lines(
            [
                f"no {direction} function was found: this library can't be traced completely, "
                f"unless you know its address ({OPTION})"
            ]
        )
