"""Which images are probed, and when a stand-in is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from tlstap.discovery.files import FileIdentity
from tlstap.discovery.report import FoundFunction, FoundLibrary, ImageReport, Means, MissingFunction
from tlstap.discovery.scan import Image
from tlstap.errors import KernelError
from tlstap.library import DataProbe, FreeProbe, Library, Probe, Recognise
from tlstap.tracing.attacher import Attacher
from tlstap.tracing.engine import Engine, Site
from tlstap.tracing.machine import Machine
from tlstap.tracing.plan import ProbeTable
from tlstap.tracing.trial import Trials

FREE = FreeProbe(function="free")


def library(name: str, *more: Probe, stands_in_for: str | None = None) -> Library:
    probes = (
        DataProbe(function=f"{name}_read", direction="read"),
        DataProbe(function=f"{name}_write", direction="write"),
        *more,
    )
    recognise = Recognise(symbols=("x",))
    return Library(
        name=name, title=name.upper(), recognise=recognise, probes=probes, stands_in_for=stands_in_for
    )


MAIN, STAND_IN, ALONE = library("main", FREE), library("stand", stands_in_for="main"), library("alone")


class FakeEngine:
    """Notes what is attached, by the number of the image."""

    def __init__(self, refused: Sequence[int] = ()) -> None:
        self.attached: dict[int, list[Site]] = {}
        self.numbers_images = True
        self.counts_traffic = True
        self._refused = refused

    def attach(self, fd: int, image: int, sites: Sequence[Site]) -> None:
        if fd in self._refused:
            raise KernelError("no")
        self.attached[image] = list(sites)


def image(fd: int, library: Library, *functions: str, means: Means = "dynsym") -> Image:
    """A file that contains a library of which these functions were found, at addresses of their own."""
    found = [
        FoundFunction(
            name=name,
            address=0x100 * (place + 1),
            means=means,
            probe_address=0x100 * (place + 1) + 4,
            probe_offset=0x10 * (place + 1),
            first_instruction="push rbp",
            emulated=True,
        )
        for place, name in enumerate(functions)
    ]
    wanted = {probe.function for probe in library.probes} - set(functions)
    report = ImageReport(
        machine="x86_64",
        build_id=f"{fd:02x}",
        libraries=(
            FoundLibrary(
                name=library.name,
                version="1.0",
                functions=tuple(found),
                missing=tuple(MissingFunction(name=name, reason="no symbol") for name in sorted(wanted)),
            ),
        ),
    )
    return Image(FileIdentity(0, fd, 0, 0, 0), f"/lib/{library.name}-{fd}", fd, report)


class Bench:
    """An attacher on a fake engine."""

    def __init__(self, *libraries: Library, refused: Sequence[int] = ()) -> None:
        self.table = ProbeTable(libraries)
        self.engine = FakeEngine(refused)
        self.machine = Machine(self.table, lambda library, detail, value: None)
        engine = cast(Engine, self.engine)
        self.trials = Trials(lambda suspect, why: None)
        self.attacher = Attacher(engine, self.table, self.machine, libraries, self.trials)

    def attach(self, *images: Image) -> list[tuple[str, str | None]]:
        """Which libraries in which files were probed, as events will name them."""
        return [(one.info.name, one.info.path) for one in self.attacher.attach(images)]

    @property
    def problems(self) -> list[str]:
        return self.attacher.coverage.problems


COMPLETE = image(1, MAIN, "main_read", "main_write", "free")
LACKING = image(2, MAIN, "main_read", "free")
STANDING_IN = image(3, STAND_IN, "stand_read", "stand_write")
LATER = image(4, STAND_IN, "stand_read", "stand_write")


def test_a_complete_library_is_probed_at_its_places() -> None:
    bench = Bench(MAIN, STAND_IN)
    assert bench.attach(STANDING_IN, COMPLETE) == [("main", "/lib/main-1")]
    [sites] = bench.engine.attached.values()
    assert sites == [
        Site(bench.table.index(MAIN.probes[0]), 0x104, 0x10, True),
        Site(bench.table.index(MAIN.probes[1]), 0x204, 0x20, True),
        Site(bench.table.index(FREE), 0x304, 0x30, False),
    ]
    assert bench.problems == []
    assert [one.info.path for one in bench.attacher.coverage.images] == ["/lib/main-1"]


@pytest.mark.parametrize("order", [(STANDING_IN, LACKING), (LACKING, STANDING_IN)])
def test_a_stand_in_is_probed_when_functions_are_lacking(order: tuple[Image, ...]) -> None:
    bench = Bench(MAIN, STAND_IN)
    assert sorted(bench.attach(*order)) == [("main", "/lib/main-2"), ("main", "/lib/stand-3")]
    assert bench.problems == [
        "/lib/main-2: MAIN is there, but no function to write with was found (main_write: no symbol); "
        "falling back on STAND"
    ]
    probed = {
        one.image.path: [function for _, function in sorted(one.functions.items())]
        for one in bench.machine.images
    }
    assert probed == {
        "/lib/main-2": ["main_read", "free"],
        "/lib/stand-3": ["stand_read", "stand_write"],
    }


def test_later_stand_ins_don_t_wait() -> None:
    bench = Bench(MAIN, STAND_IN)
    assert bench.attach(STANDING_IN) == []
    assert len(bench.attach(LACKING)) == 2
    assert bench.attach(LATER) == [("main", "/lib/stand-4")]
    assert bench.attach(COMPLETE) == [("main", "/lib/main-1")]
    assert len(bench.engine.attached) == 4, "none twice"


def test_without_a_stand_in_nothing_is_probed_and_the_reason_is_told() -> None:
    bench = Bench(ALONE)
    assert bench.attach(image(5, ALONE, "alone_write")) == []
    assert bench.problems == [
        "/lib/alone-5: ALONE is there, but no function to read with was found (alone_read: no symbol); "
        "tlstap inspect says more, --at FILE:FUNCTION=ADDRESS gives an address by hand"
    ]
    assert bench.engine.attached == {}


def test_what_the_kernel_refuses_is_a_problem_of_that_file_only() -> None:
    bench = Bench(MAIN, STAND_IN, refused=[2])
    assert sorted(bench.attach(LACKING, STANDING_IN, COMPLETE)) == [
        ("main", "/lib/main-1"),
        ("main", "/lib/stand-3"),
    ]
    assert bench.problems[-1] == "/lib/main-2: no"


@pytest.mark.parametrize("means", ["signature", "user"])
@pytest.mark.parametrize("numbered", [True, False])
def test_functions_found_by_signature_are_on_trial(means: Means, numbered: bool) -> None:
    bench = Bench(MAIN)
    bench.engine.numbers_images = numbered
    assert bench.attach(image(6, MAIN, "main_read", "main_write", "free", means=means)) == [
        ("main", "/lib/main-6")
    ]
    [sites] = bench.engine.attached.values()
    assert [site.on_trial for site in sites] == [True, True, True]
    (suspect,) = bench.trials.suspects
    assert suspect.key == (1 if numbered else 0) and suspect.images == {1}
    assert suspect.where == "MAIN, /lib/main-6"
    tried = {probe: (trial.function, trial.direction) for probe, trial in suspect.trials.items()}
    read, write = (bench.table.index(probe) for probe in MAIN.probes[:2])
    assert tried == {read: ("main_read", 0), write: ("main_write", 1)}, "only what moves data is tried"


def test_functions_with_symbols_are_not() -> None:
    bench = Bench(MAIN)
    bench.attach(COMPLETE)
    [sites] = bench.engine.attached.values()
    assert not any(site.on_trial for site in sites)
    assert bench.trials.suspects == []


def test_without_evidence_nothing_on_trial_is_attached() -> None:
    bench = Bench(MAIN)
    bench.engine.counts_traffic = False
    assert bench.attach(image(7, MAIN, "main_read", "main_write", means="signature"), COMPLETE) == [
        ("main", "/lib/main-1")
    ]
    (problem,) = bench.problems
    assert problem.startswith("/lib/main-7: MAIN is there") and "nothing can prove them right" in problem


def test_functions_with_symbols_are_trusted_beside_one_on_trial() -> None:
    bench = Bench(MAIN)
    mixed = image(8, MAIN, "main_read", "main_write", "free")
    (found,) = mixed.report.libraries
    functions = tuple(
        one.model_copy(update={"means": "signature"}) if one.name == "main_read" else one
        for one in found.functions
    )
    libraries = (found.model_copy(update={"functions": functions}),)
    mixed.report = mixed.report.model_copy(update={"libraries": libraries})
    bench.attach(mixed)
    [sites] = bench.engine.attached.values()
    assert [site.on_trial for site in sites] == [True, True, True], "they tell which processes to watch"
    (suspect,) = bench.trials.suspects
    assert suspect.trusted
    assert list(suspect.trials) == [bench.table.index(MAIN.probes[0])]
