"""From images to attached probes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tlstap.discovery.given import OPTION
from tlstap.discovery.report import FoundLibrary
from tlstap.discovery.scan import Image
from tlstap.errors import TlstapError
from tlstap.library import DataProbe, Library
from tlstap.schema import LibraryInfo
from tlstap.tracing.engine import Engine, Site
from tlstap.tracing.layout import DIRECTIONS
from tlstap.tracing.machine import Machine, ProbedImage
from tlstap.tracing.plan import ProbePoint, ProbeTable, missing_directions, plan
from tlstap.tracing.trial import Trial, Trials


@dataclass(slots=True)
class Coverage:
    """What is traced, and what can't be and why (whole sentences)."""

    images: list[ProbedImage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Attacher:
    """Plans and attaches the probes of images.

    Images of a library that stands in for another wait until that other is found without its functions.

    :param libraries: those that are to be traced, by name.
    """

    def __init__(
        self,
        engine: Engine,
        table: ProbeTable,
        machine: Machine,
        libraries: Collection[Library],
        trials: Trials,
    ) -> None:
        self.coverage = Coverage()
        self._trials = trials
        self._engine = engine
        self._table = table
        self._machine = machine
        self._libraries = {library.name: library for library in libraries}
        self._stand_ins = {library.stands_in_for: library for library in libraries if library.stands_in_for}
        self._needed: set[str] = set()
        self._waiting: dict[str, list[tuple[Image, FoundLibrary]]] = {}

    def attach(self, images: Iterable[Image]) -> list[ProbedImage]:
        """Attach to the libraries in these images; what can't be done is added to the problems."""
        probed = []
        for image in images:
            self.coverage.problems += [f"{image.path}: {problem}" for problem in image.report.problems]
            for found in image.report.libraries:
                if library := self._libraries.get(found.name):
                    probed += self._attach_library(image, library, found)
        self.coverage.images += probed
        return probed

    def _attach_library(self, image: Image, library: Library, found: FoundLibrary) -> list[ProbedImage]:
        if library.stands_in_for and library.name not in self._needed:
            self._waiting.setdefault(library.name, []).append((image, found))
            return []
        points = plan(library, {function.name: function.probe_address for function in found.functions})
        probed = []
        if lacking := missing_directions(points):
            stand_in = self._stand_ins.get(library.name)
            self._say_lacking(image, library, found, lacking, stand_in)
            if stand_in is None:
                return []
            probed += self._attach_stand_in(stand_in)
        if one := self._attach_points(image, library, found, points):
            probed.append(one)
        return probed

    def _say_lacking(
        self,
        image: Image,
        library: Library,
        found: FoundLibrary,
        lacking: Collection[str],
        stand_in: Library | None,
    ) -> None:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in found.missing[:3])
        what = (
            f"{library.title} is there, but no function to {' or '.join(lacking)} with was found ({reasons})"
        )
        if stand_in is None:
            self._problem(image, f"{what}; tlstap inspect says more, {OPTION} gives an address by hand")
        else:
            self._problem(image, f"{what}; falling back on {stand_in.title}")

    def _attach_stand_in(self, stand_in: Library) -> list[ProbedImage]:
        """Attach to the images of a stand-in that waited; those that are found later don't wait."""
        self._needed.add(stand_in.name)
        waiting = self._waiting.pop(stand_in.name, [])
        return [one for image, found in waiting for one in self._attach_library(image, stand_in, found)]

    def _attach_points(
        self, image: Image, library: Library, found: FoundLibrary, points: Sequence[ProbePoint]
    ) -> ProbedImage | None:
        if image.fd is None:
            return None
        info = LibraryInfo(
            name=library.stands_in_for or library.name,
            version=found.version,
            path=image.path,
            build_id=image.report.build_id,
        )
        sites = self._sites(found, points)
        if any(site.on_trial for site in sites) and not self._engine.counts_traffic:
            self._problem(
                image,
                f"{library.title} is there, but its functions were found by what they look like, and nothing "
                "can prove them right on this kernel (that takes BTF, and Linux 6.3 or kprobes)",
            )
            return None
        try:
            functions = {self._table.index(point.probe): point.function for point in points}
            probed = ProbedImage(library, info, image, functions)
            number = self._machine.add_image(probed)
            self._put_on_trial(probed, number, found, points)
            self._engine.attach(image.fd, number, sites)
        except TlstapError as error:
            self._problem(image, str(error))
            return None
        return probed

    def _sites(self, found: FoundLibrary, points: Sequence[ProbePoint]) -> list[Site]:
        functions = {function.name: function for function in found.functions}
        # If one function is on trial, the others' calls tell which processes to watch.
        on_trial = any(functions[point.function].on_trial for point in points)
        return [
            Site(
                self._table.index(point.probe),
                point.address,
                functions[point.function].probe_offset,
                point.needs_return,
                on_trial,
                functions[point.function].return_addresses,
            )
            for point in points
        ]

    def _put_on_trial(
        self, probed: ProbedImage, number: int, found: FoundLibrary, points: Sequence[ProbePoint]
    ) -> None:
        """Functions that move data and were found by signature are shown when they have proven themselves."""
        on_trial = {function.name for function in found.functions if function.on_trial}
        moving = [(point.function, point.probe) for point in points if isinstance(point.probe, DataProbe)]
        trials = {
            self._table.index(probe): Trial(function, DIRECTIONS.index(probe.direction))
            for function, probe in moving
            if function in on_trial
        }
        if trials:
            key = number if self._engine.numbers_images else 0
            where = f"{probed.library.title}, {probed.info.path}"
            self._trials.add(key, number, where, trials, trusted=len(trials) < len(moving))

    def _problem(self, image: Image, what: str) -> None:
        self.coverage.problems.append(f"{image.path}: {what}")
