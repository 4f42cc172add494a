"""Can this machine trace, and if a process shows nothing, why: the questions that `tlstap doctor` asks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tlstap.discovery import processes
from tlstap.discovery.cache import ReportCache
from tlstap.discovery.given import OPTION
from tlstap.discovery.large_files import ShowWork
from tlstap.discovery.scan import Image, Scanner
from tlstap.errors import TlstapError
from tlstap.registry import Registry
from tlstap.tracing.building import build
from tlstap.tracing.engine import Engine
from tlstap.tracing.filters import Filters
from tlstap.tracing.kernel import KernelFacts, Sockets, kernel_facts, require_privilege
from tlstap.tracing.plan import ProbeTable, missing_directions, plan

_INITIAL_PID_NAMESPACE = "pid:[4026531836]"
_RING_BYTES = 1 << 20
_TLS_STATISTICS = Path("/proc/net/tls_stat")


@dataclass(frozen=True, slots=True)
class Check:
    """An answer. `ok` is False if tracing is impossible, None if it is possible with a limit."""

    name: str
    ok: bool | None
    text: str


def machine_checks(registry: Registry) -> Iterator[Check]:
    """Can this machine trace at all, and by which means."""
    yield _privilege()
    try:
        facts = kernel_facts()
    except TlstapError as error:
        yield Check("kernel", False, str(error))
        return
    yield Check("kernel", True, f"Linux {facts.release}, {facts.machine}")
    yield _attachment(facts)
    yield _btf(facts)
    yield _pid_namespace()
    yield _kernel_tls()
    yield _plugins(registry)
    yield from _engine(registry, facts)


def _privilege() -> Check:
    try:
        require_privilege()
    except TlstapError as error:
        return Check("privilege", False, str(error))
    return Check("privilege", True, "this user may trace")


def _attachment(facts: KernelFacts) -> Check:
    if facts.uprobe_multi:
        return Check("uprobes", True, "attached many at once (uprobe_multi)")
    return Check("uprobes", None, "attached one by one; Linux 6.6 or later does it faster")


def _btf(facts: KernelFacts) -> Check:
    if facts.no_btf is None:
        return Check("type information", True, "the kernel's BTF is readable")
    return Check(
        "type information", None, f"{facts.no_btf}; without it --exe and children's names are less exact"
    )


def _pid_namespace() -> Check:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError as error:
        return Check("process ids", None, f"the pid namespace can't be read: {error.strerror}")
    if namespace == _INITIAL_PID_NAMESPACE:
        return Check("process ids", True, "those of the machine")
    return Check(
        "process ids",
        None,
        "tlstap runs in a pid namespace (a container) whose numbers are not the kernel's: filters by pid and "
        "paths of executables will not work; run it on the host, or with the host's pid namespace",
    )


def _kernel_tls() -> Check:
    """What the kernel itself encrypts, with SSL_sendfile, never passes through a buffer of the process."""
    try:
        statistics = dict(line.split() for line in _TLS_STATISTICS.read_text().splitlines())
    except (OSError, ValueError):
        return Check("kernel TLS", True, "not in use")
    used = sum(int(statistics.get(name, 0)) for name in ("TlsTxSw", "TlsTxDevice"))
    if not used:
        return Check("kernel TLS", True, "not in use")
    return Check(
        "kernel TLS", None, f"{used} sockets have used it; what SSL_sendfile sends over it is not visible"
    )


def _plugins(registry: Registry) -> Check:
    if registry.failures:
        failed = "; ".join(failure.text for failure in registry.failures)
        return Check("plugins", None, failed)
    return Check("plugins", True, f"{len(registry.plugins)} loaded, for {', '.join(registry.libraries)}")


def _engine(registry: Registry, facts: KernelFacts) -> Iterator[Check]:
    """Really compile and load the program."""

    def make(table: ProbeTable, snippets: Mapping[str, str], careful: bool) -> Engine:
        return Engine(table, snippets, facts, Filters(), ring_bytes=_RING_BYTES, careful=careful)

    try:
        built = build(registry, list(registry.libraries.values()), make)
    except TlstapError as error:
        yield Check("BPF program", False, str(error))
        return
    engine = built.engine
    try:
        yield Check("BPF program", True, "compiles and loads")
        for problem in built.problems:
            yield Check("plugins", None, problem)
        full = engine.sockets in (Sockets.TRACEPOINT, Sockets.KPROBE)
        yield Check("addresses", True if full else None, f"by {engine.sockets.value}")
    finally:
        engine.close()


def process_checks(
    registry: Registry, pid: int, show_work: ShowWork = lambda path, done, total: None
) -> Iterator[Check]:
    """What can be seen of a process, and why not more.

    :param show_work: called while a large file is looked into.
    :raises ProcessGoneError: there is no such process.
    """
    facts = processes.facts(pid)
    where = f", container {facts.container}" if facts.container else ""
    yield Check("process", True, f"{facts.comm} ({facts.exe or 'unknown executable'}){where}")
    libraries = registry.libraries.values()
    with Scanner(libraries, registry.locate, ReportCache(libraries), show_work=show_work) as scanner:
        scanner.scan([pid])
        found = False
        present = {one.name for image in scanner.images for one in image.report.libraries}
        for image in scanner.images:
            for check in _image_checks(registry, image, present):
                found = True
                yield check
        for kind, diagnostic in scanner.diagnostics.left_out.items():
            yield Check(kind, None, f"{diagnostic.count}, for example {diagnostic.example}")
    if not found:
        yield Check(
            "TLS library",
            False,
            "it has mapped none that tlstap knows; it may load one later, leave TLS to another process "
            "(a proxy, a browser's network process), or carry one that is not supported",
        )


def _image_checks(registry: Registry, image: Image, present: Collection[str]) -> Iterator[Check]:
    """:param present: names of the libraries in all images of the process."""
    for found in image.report.libraries:
        library = registry.libraries[found.name]
        if library.stands_in_for:
            continue
        points = plan(library, {function.name: function.probe_address for function in found.functions})
        lacking = missing_directions(points)
        version = found.version or "of unknown version"
        if not lacking:
            by_signature = any(function.means == "signature" for function in found.functions)
            how = ", found by signature: shown once it has proven itself" if by_signature else ""
            yield Check("TLS library", True, f"{library.title} {version}: {image.path}{how}")
            continue
        text = f"{library.title} {version}, but no function to {' or '.join(lacking)} with was found"
        stand_in = registry.stand_in(library)
        if stand_in and stand_in.name in present:
            text = f"{text}, so the fallback is used ({stand_in.title})"
            yield Check("TLS library", None, f"{text}: {image.path}; see tlstap inspect")
        else:
            reasons = "; ".join(dict.fromkeys(one.reason for one in found.missing[:1]))
            yield Check(
                "TLS library",
                False,
                f"{text} ({reasons}): {image.path}; see tlstap inspect; {OPTION} gives an address by hand",
            )
    for name in image.report.unsupported:
        yield Check("TLS library", False, f"{name}, which no loaded plugin supports: {image.path}")
    for problem in image.report.problems:
        yield Check("TLS library", None, f"{image.path}: {problem}")
