"""From what was found in an image to probe points: which declared probe goes to which address."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tlstap.library import DataProbe, Library, Probe
from tlstap.tracing.layout import PROBE as PROBE_STRUCT
from tlstap.tracing.layout import SUCCESS, Flag, ProbeKind

ENTRY_ONLY = frozenset({"free", "reference", "role"})
"""Kinds of probes that are done on entry and need no return probe."""


class ProbePoint(NamedTuple):
    """A declared probe at a place: `function` is the one that was found, `address` an ELF virtual address."""

    probe: Probe
    function: str
    address: int

    @property
    def needs_return(self) -> bool:
        return needs_return(self.probe)


def needs_return(probe: Probe) -> bool:
    """Whether the probe acts (also) when the function returns."""
    if probe.kind == "birth":
        return probe.handle == 0
    return probe.kind not in ENTRY_ONLY


def plan(library: Library, functions: Mapping[str, int]) -> list[ProbePoint]:
    """Choose the probe points for an image that contains `library`.

    :param functions: the functions that were found in the image, and the address to probe of each.
    """
    points = []
    for probe in library.probes:
        if any(name in functions for name in probe.unless):
            continue
        if not all(name in functions for name in probe.when):
            continue
        name = next((name for name in (probe.function, *probe.fallbacks) if name in functions), None)
        if name is not None:
            points.append(ProbePoint(probe, name, functions[name]))
    return points


def missing_directions(points: Collection[ProbePoint]) -> list[str]:
    """The directions ("read", "write") for which the plan has no data probe."""
    found = {point.probe.direction for point in points if isinstance(point.probe, DataProbe)}
    return [direction for direction in ("read", "write") if direction not in found]


class ProbeTable:
    """The distinct probes of the libraries, by the index under which BPF knows them.

    Libraries that declare the same probe share its index: which of them a record is about follows from the
    image.
    """

    def __init__(self, libraries: Iterable[Library]) -> None:
        declared = [probe for library in libraries for probe in library.probes]
        self.probes: tuple[Probe, ...] = tuple(dict.fromkeys(declared))
        self._index = {probe: index for index, probe in enumerate(self.probes)}

    def index(self, probe: Probe) -> int:
        """The index of a declared probe."""
        return self._index[probe]

    def __len__(self) -> int:
        return len(self.probes)


def pack(probe: Probe) -> bytes:
    """The probe as struct probe of bpf/event.h."""
    role = has_pointer_offset = pointer_offset = direction = buffer = length = moved = moved_size = 0
    success = "positive"
    match probe.kind:
        case "data":
            direction = ("read", "write").index(probe.direction)
            buffer, length, success = probe.buffer, probe.length or 0, probe.success
            if probe.moved.source == "out-pointer":
                moved, moved_size = probe.moved.argument, probe.moved.size
        case "handshake":
            success = probe.success
        case "role":
            role = Flag.CLIENT if probe.role == "client" else Flag.SERVER
        case "detail":
            buffer, moved = probe.value, probe.out_length or 0
            has_pointer_offset = probe.pointer_offset is not None
            pointer_offset = probe.pointer_offset or 0
        case _:
            pass
    return PROBE_STRUCT.pack(
        ProbeKind[probe.kind.upper()],
        direction,
        probe.handle,
        buffer,
        length,
        moved,
        moved_size,
        SUCCESS[success],
        role,
        has_pointer_offset,
        pointer_offset,
    )
