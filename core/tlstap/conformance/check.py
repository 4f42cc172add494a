"""All checks of one library."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from tlstap.conformance.compare import Features, compare
from tlstap.conformance.files import check_files, elf_files, loaded_files, placed_probes
from tlstap.conformance.observe import Observation, Played, observe
from tlstap.conformance.report import Check, Report, failed, left_out, passed
from tlstap.conformance.scenarios import SCENARIOS, DriverError, LeftOut, parse
from tlstap.errors import TlstapError, UsageError
from tlstap.library import BirthProbe, Library, Probe, RoleProbe
from tlstap.registry import Registry


def check(
    name: str,
    program: Sequence[str] = (),
    files: Sequence[str] = (),
    *,
    scenarios: Collection[str] = (),
    registry: Registry | None = None,
    seconds: float = 60.0,
    tell: Callable[[Check], None] = lambda check: None,
) -> Report:
    """Check a library's plugin.

    :param name: the library's name, or that of a plugin with one library.
    :param program: the driver and its arguments, to be played under tracing, which needs root.
    :param files: files that contain the library; else those that the program loads, or that ldconfig knows.
    :param scenarios: only these of SCENARIOS.
    :param registry: the plugins, loaded afresh by default.
    :param seconds: the most that a scenario may take.
    :param tell: called with each check as soon as it is done.
    :raises UsageError: there is no such library or scenario.
    """
    for scenario in scenarios:
        if scenario not in SCENARIOS:
            raise UsageError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    registry = registry or Registry.load()
    report = Report(name)

    def note(checks: Iterable[Check]) -> None:
        for one in checks:
            report.checks.append(one)
            tell(one)

    for failure in registry.failures:
        if failure.name == name:
            note([failed("declaration", f"plugin {failure.name} of {failure.distribution} {failure.reason}")])
            return report
    library = find_library(registry, name)
    report.library = library.name
    plugin = registry.plugin_of(library)
    note(
        [
            passed(
                "declaration", f"{len(library.probes)} probes of plugin {plugin.name}, {plugin.distribution}"
            )
        ]
    )
    loaded = loaded_files(program)
    checks, found = check_files(registry, library, files, loaded)
    note(checks)
    if program:
        chosen = [scenario for scenario in SCENARIOS if not scenarios or scenario in scenarios]
        try:
            seen = observe(
                registry, library, program, elf_files(list(dict.fromkeys([*loaded, *files]))), chosen, seconds
            )
        except TlstapError as error:
            note([failed("tracing", str(error))])
            return report
        note(_tracing(seen))
        features = features_of(placed_probes(library, found))
        before = len(report.checks)
        for played in seen.played:
            note(_scenario(played, features))
        if all(one.outcome == "left out" for one in report.checks[before:]):
            note([failed("scenarios", "expected the driver to play at least one, saw it leave out all")])
    return report


def find_library(registry: Registry, name: str) -> Library:
    """The library of that name, or the one library of the plugin of that name.

    :raises UsageError: there is none, or the plugin has several.
    """
    if name in registry.libraries:
        return registry.library(name)
    for plugin in registry.plugins:
        if plugin.name == name:
            names = registry.declared_by(plugin)["libraries"]
            if len(names) == 1:
                return registry.library(names[0])
            raise UsageError(f"plugin {name} declares {', '.join(names) or 'no library'}; name one library")
    return registry.library(name)


def features_of(probes: Sequence[Probe]) -> Features:
    """What these probes tell besides the bytes."""
    births = [probe for probe in probes if isinstance(probe, BirthProbe)]
    return Features(
        births=bool(births),
        frees=any(probe.kind == "free" for probe in probes),
        handshakes=any(probe.kind == "handshake" for probe in probes),
        roles=any(isinstance(probe, RoleProbe) for probe in probes) or any(probe.role for probe in births),
    )


def _tracing(seen: Observation) -> list[Check]:
    checks = []
    if not seen.files:
        checks.append(failed("tracing", "expected a file to be probed, saw none that the program could use"))
    if seen.overflowed:
        checks.append(failed("tracing", "expected less than 256 MiB, saw more; the rest was left out"))
    if seen.summary.lost_records:
        text = f"expected no losses, saw {seen.summary.lost_records} records lost: the machine is too busy"
        checks.append(failed("tracing", text))
    if seen.summary.implausible:
        text = (
            f"expected plausible lengths, saw {seen.summary.implausible} calls that moved more than they "
            f"were asked for (`moved`, `length`, `success`)"
        )
        checks.append(failed("tracing", text))
    checks += [failed("tracing", problem) for problem in seen.problems]
    return checks or [passed("tracing", f"probes in {', '.join(dict.fromkeys(seen.files))}")]


def _scenario(played: Played, features: Features) -> list[Check]:
    if played.problem:
        return [
            failed(f"{played.scenario}, driver", f"expected it to play the scenario, saw {played.problem}")
        ]
    try:
        ends = parse(played.output)
    except DriverError as error:
        return [failed(f"{played.scenario}, driver", str(error))]
    if isinstance(ends, LeftOut):
        return [left_out(played.scenario, ends.left_out)]
    if not any(end.read.bytes or end.written.bytes for end in ends):
        return [failed(f"{played.scenario}, driver", "expected it to report connections, saw none")]
    if played.scenario == "failed" and not any(end.failed_reads for end in ends):
        return [failed(f"{played.scenario}, driver", "expected reads that fail, saw none reported")]
    return compare(played.scenario, ends, played.traced, features)
