"""The static checks: what the declaration finds in a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tlstap.conformance.report import Check, failed, passed
from tlstap.discovery import ldcache
from tlstap.discovery.command import files_of_command
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.processes import open_beside
from tlstap.discovery.report import FoundLibrary, ImageReport
from tlstap.discovery.scan import examine
from tlstap.errors import ElfError
from tlstap.library import DetailProbe, Library, Probe
from tlstap.registry import Registry
from tlstap.tracing.plan import missing_directions, plan

KINDS = ("birth", "free", "handshake", "role", "packet", "content")
"""Kinds of probes of which one should find its place, if any are declared."""


def loaded_files(program: Sequence[str]) -> list[str]:
    """What a program loads when it starts, the files of its arguments included (a script's are not known)."""
    return files_of_command(program, os.environ) if program else []


def check_files(
    registry: Registry, library: Library, given: Sequence[str], loaded: Sequence[str]
) -> tuple[list[Check], list[FoundLibrary]]:
    """Look into the given files; without any, into those among `loaded` that contain the library; without any
    such, into those that the dynamic loader knows by the declaration's sonames.

    :return: the checks, and what was found.
    """
    reports = {path: _report(registry, path) for path in given}
    if not reports:
        reports = {path: report for path in loaded if _contains(report := _report(registry, path), library)}
    if not reports:
        known = list(dict.fromkeys(ldcache.known_libraries(library.sonames)))
        reports = {path: _report(registry, path) for path in known}
    if not reports:
        text = "expected a file with the library, saw none; give one with --file"
        return [failed("file", text)], []
    checks: list[Check] = []
    found: list[FoundLibrary] = []
    for path, report in reports.items():
        if isinstance(report, ElfError):
            checks.append(failed(f"file {path}", str(report)))
            continue
        checks += _check(registry, library, path, report)
        found += [one for one in report.libraries if one.name == library.name]
    return checks, found


def _report(registry: Registry, path: str) -> ImageReport | ElfError:
    libraries = registry.libraries.values()
    beside = partial(open_beside, None, str(Path(path).resolve()))
    try:
        with ElfImage.open(path) as image:
            return examine(image, libraries, registry.locate, beside)[0]
    except ElfError as error:
        return error


def _contains(report: ImageReport | ElfError, library: Library) -> bool:
    return isinstance(report, ImageReport) and any(one.name == library.name for one in report.libraries)


def _check(registry: Registry, library: Library, path: str, report: ImageReport) -> list[Check]:
    name = f"file {path}"
    problems = [failed(name, problem) for problem in report.problems]
    found = next((one for one in report.libraries if one.name == library.name), None)
    others = [
        one.name
        for one in report.libraries
        if one is not found and registry.libraries[one.name].stands_in_for != library.name
    ]
    if found is None:
        seen = ", ".join(others) or "no library that a plugin knows"
        return problems or [failed(name, f"expected {library.title} to be recognised, saw {seen}")]
    if others:
        problems.append(failed(name, f"expected {library.title} alone, saw {', '.join(others)} as well"))
    version = found.version or "its version unknown"
    if library.version is not None and found.version is None:
        pattern = library.version.pattern
        problems.append(failed(name, f"expected a version, saw nothing that matches {pattern!r}"))
    return problems or [
        passed(name, f"{library.title}, {version}"),
        *_functions(registry, library, name, found),
    ]


def _functions(registry: Registry, library: Library, name: str, found: FoundLibrary) -> list[Check]:
    points = plan(library, {function.name: function.probe_address for function in found.functions})
    checks: list[Check] = []
    stand_in = registry.stand_in(library)
    for direction in missing_directions(points):
        if stand_in is None:
            checks.append(failed(name, f"expected a function that {direction}s, found none"))
    placed = {point.probe.kind for point in points}
    for kind in KINDS:
        wanted = [probe.function for probe in library.probes if probe.kind == kind]
        if wanted and kind not in placed:
            text = f"expected a function for a {kind} probe, found none of {', '.join(dict.fromkeys(wanted))}"
            checks.append(failed(name, text))
    absent = "; ".join(f"not there: {one.name} ({one.reason})" for one in found.missing)
    means = ", ".join(dict.fromkeys(function.means for function in found.functions))
    text = f"{len(found.functions)} functions by {means}" + (f"; {absent}" if absent else "")
    return [*checks, passed(f"{name}, functions", text)]


def placed_probes(library: Library, found: Sequence[FoundLibrary]) -> list[Probe]:
    """The probes that are placed in these files; without any, all that are declared."""
    if not found:
        return list(library.probes)
    points = [
        point
        for one in found
        for point in plan(library, {function.name: function.probe_address for function in one.functions})
    ]
    return [point.probe for point in points if not isinstance(point.probe, DetailProbe)]


def elf_files(paths: Sequence[str]) -> list[str]:
    """Those that are ELF images which can be read."""
    good = []
    for path in paths:
        with contextlib.suppress(ElfError), ElfImage.open(path):
            good.append(path)
    return good
