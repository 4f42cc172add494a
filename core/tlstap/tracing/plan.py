"""From what was found in an image to probe points: which declared probe goes to which address."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tlstap.library import DataProbe, DetailProbe, Library, Probe
from tlstap.tracing.layout import DIRECTIONS, PROBE_FIELDS, ROLE, SUCCESS, LengthSource, ProbeKind
from tlstap.tracing.layout import PROBE as PROBE_STRUCT

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

    @property
    def holds(self) -> bool:
        """Whether there is a probe on a function that may leave bytes to be sent later."""
        return any(isinstance(probe, DataProbe) and probe.pending for probe in self.probes)

    def __len__(self) -> int:
        return len(self.probes)


def pack(probe: Probe) -> bytes:
    """The probe as struct probe of bpf/event.h."""
    fields = dict.fromkeys(PROBE_FIELDS, 0)
    fields["kind"] = ProbeKind[probe.kind.upper()]
    fields["handle"] = probe.handle
    fields["only_from"] = int(probe.only_from)
    match probe.kind:
        case "data":
            fields |= _data_fields(probe)
        case "flush":
            fields["direction"] = DIRECTIONS.index(probe.direction)
        case "packet":
            fields["buffer"] = probe.packet
        case "content":
            fields["buffer"] = probe.datum
        case "handshake":
            fields["success"] = SUCCESS[probe.success]
        case "birth":
            fields |= {"moved": probe.out_pointer or 0, "role": ROLE[probe.role]}
        case "role":
            fields["role"] = ROLE[probe.role]
        case "detail":
            fields |= _detail_fields(probe)
        case _:
            pass
    return PROBE_STRUCT.pack(*fields.values())


def _data_fields(probe: DataProbe) -> dict[str, int]:
    fields = {
        "direction": DIRECTIONS.index(probe.direction),
        "buffer": probe.buffer,
        "vector": int(probe.vector),
        "length": probe.length or 0,
        "success": SUCCESS[probe.success],
        **{f"pending[{index}]": value for index, value in enumerate(probe.pending)},
    }
    match probe.moved.source:
        case "out-pointer":
            source = LengthSource.OUT_POINTER
            fields |= {"moved": probe.moved.argument, "moved_size": probe.moved.size}
        case "return":
            source = LengthSource.RETURNED
    return fields | {"length_source": source}


def _detail_fields(probe: DetailProbe) -> dict[str, int]:
    fields = {
        "buffer": probe.value,
        "success": SUCCESS[probe.success],
        "has_pointer_offset": int(probe.pointer_offset is not None),
        "pointer_offset": probe.pointer_offset or 0,
    }
    if probe.number:
        return fields | {"length_source": LengthSource.NONE}
    match probe.length.source:
        case "terminated":
            return fields | {"length_source": LengthSource.TERMINATED}
        case "argument":
            source = LengthSource.OUT_POINTER if probe.length.pointer else LengthSource.ARGUMENT
            return fields | {"length_source": source, "length": probe.length.argument}
        case "offset":
            return fields | {"length_source": LengthSource.OFFSET, "number": probe.length.offset}
        case "fixed":
            return fields | {"length_source": LengthSource.FIXED, "number": probe.length.size}
