"""Which declared probe goes where, and how BPF gets to know it."""

from __future__ import annotations

from typing import Any

import pytest

from tlstap.library import (
    BirthProbe,
    ContentProbe,
    DataProbe,
    DetailProbe,
    FixedLength,
    FlushProbe,
    FreeProbe,
    HandshakeProbe,
    LengthArgument,
    LengthOffset,
    Library,
    OutPointer,
    PacketProbe,
    Probe,
    Recognise,
    ReferenceProbe,
    RoleProbe,
)
from tlstap.tracing.layout import PROBE, PROBE_FIELDS, Flag, LengthSource, ProbeKind
from tlstap.tracing.plan import ProbeTable, missing_directions, needs_return, pack, plan

READ = DataProbe(function="my_read", direction="read")
WRITE = DataProbe(function="my_write", direction="write")


def library(*probes: Probe, name: str = "mine") -> Library:
    """A library with these probes, both directions, and functions for packets, which need one another."""
    probes = (PacketProbe(function="my_packet"), ContentProbe(function="my_content"), *probes)
    return Library(name=name, title=name, recognise=Recognise(symbols=("x",)), probes=(READ, WRITE, *probes))


def placed(probe: Probe, **functions: int) -> list[tuple[str, int]]:
    """Where one probe goes in an image with these functions."""
    points = plan(library(probe), functions)
    return [(point.function, point.address) for point in points if point.probe is probe]


def test_every_probe_whose_function_is_there() -> None:
    free = FreeProbe(function="my_free")
    points = plan(library(free), {"my_read": 0x10, "my_free": 0x30, "other": 0x40})
    assert [(point.probe, point.function, point.address) for point in points] == [
        (READ, "my_read", 0x10),
        (free, "my_free", 0x30),
    ]
    assert missing_directions(points) == ["write"]
    assert missing_directions([]) == ["read", "write"]
    assert missing_directions(plan(library(), {"my_read": 1, "my_write": 2})) == []


def test_fallbacks_in_their_order() -> None:
    probe = FreeProbe(function="first", fallbacks=("second", "third"))
    assert placed(probe, first=1, second=2, third=3) == [("first", 1)]
    assert placed(probe, third=3, second=2) == [("second", 2)]
    assert placed(probe, third=3) == [("third", 3)]
    assert placed(probe) == []


def test_unless() -> None:
    probe = FreeProbe(function="outer", unless=("inner", "inmost"))
    assert placed(probe, outer=1) == [("outer", 1)]
    assert placed(probe, outer=1, inner=2) == []
    assert placed(probe, outer=1, inmost=2) == []


def test_when_needs_all() -> None:
    probe = FreeProbe(function="free", when=("new", "newer"))
    assert placed(probe, free=1, new=2) == []
    assert placed(probe, free=1, new=2, newer=3) == [("free", 1)]


def test_an_address_of_zero_is_an_address() -> None:
    assert placed(FreeProbe(function="free"), free=0) == [("free", 0)]


@pytest.mark.parametrize(
    ("probe", "returns"),
    [
        (READ, True),
        (HandshakeProbe(function="f"), True),
        (DetailProbe(function="f", details=("sni",), value=4), True),
        (BirthProbe(function="f"), True),
        (BirthProbe(function="f", out_pointer=1), True),
        (BirthProbe(function="f", handle=1), False),
        (FlushProbe(function="f"), True),
        (PacketProbe(function="f"), True),
        (ContentProbe(function="f"), True),
        (FreeProbe(function="f"), False),
        (ReferenceProbe(function="f"), False),
        (RoleProbe(function="f", role="client"), False),
    ],
)
def test_which_probes_need_the_return(probe: Probe, returns: bool) -> None:
    assert needs_return(probe) is returns
    point = plan(library(probe), {probe.function: 1})[-1]
    assert point.needs_return is returns


def test_libraries_share_the_index_of_a_probe() -> None:
    own = FreeProbe(function="own_free")
    same_write = DataProbe(function="my_write", direction="write")
    table = ProbeTable([library(), library(own, name="fork")])
    assert len(table) == 5
    assert (table.probes[:2], table.probes[4]) == ((READ, WRITE), own)
    assert [table.index(probe) for probe in (READ, same_write, own)] == [0, 1, 4]
    with pytest.raises(KeyError):
        table.index(DataProbe(function="my_write", direction="write", buffer=3))


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (READ, {"kind": ProbeKind.DATA, "handle": 1, "buffer": 2, "length": 3}),
        (
            DataProbe(
                function="f",
                direction="write",
                handle=2,
                buffer=3,
                length=None,
                moved=OutPointer(argument=5, size=4),
                success="one",
            ),
            {
                "kind": 1,
                "direction": 1,
                "handle": 2,
                "buffer": 3,
                "moved": 5,
                "moved_size": 4,
                "success": 1,
                "length_source": LengthSource.OUT_POINTER,
            },
        ),
        (
            DataProbe(function="f", direction="read", moved=OutPointer(argument=6), success="zero"),
            {
                "kind": 1,
                "handle": 1,
                "buffer": 2,
                "length": 3,
                "moved": 6,
                "moved_size": 8,
                "success": 2,
                "length_source": LengthSource.OUT_POINTER,
            },
        ),
        (
            DataProbe(function="f", direction="write", success="zero", pending=(-28, -(1 << 31))),
            {
                "kind": 1,
                "direction": 1,
                "handle": 1,
                "buffer": 2,
                "length": 3,
                "success": 2,
                "pending[0]": -28,
                "pending[1]": -(1 << 31),
            },
        ),
        (FlushProbe(function="f"), {"kind": 8, "direction": 1, "handle": 1}),
        (PacketProbe(function="f", packet=3), {"kind": 9, "handle": 1, "buffer": 3}),
        (ContentProbe(function="f", handle=2, datum=1), {"kind": 10, "handle": 2, "buffer": 1}),
        (
            DataProbe(function="f", direction="write", vector=True),
            {"kind": 1, "direction": 1, "handle": 1, "buffer": 2, "length": 3, "vector": 1},
        ),
        (HandshakeProbe(function="f", handle=3), {"kind": 2, "handle": 3, "success": 1}),
        (HandshakeProbe(function="f", success="zero"), {"kind": 2, "handle": 1, "success": 2}),
        (BirthProbe(function="f"), {"kind": 3}),
        (BirthProbe(function="f", handle=1), {"kind": 3, "handle": 1}),
        (
            BirthProbe(function="f", out_pointer=2, role="server"),
            {"kind": 3, "moved": 2, "role": Flag.SERVER},
        ),
        (FreeProbe(function="f", handle=2), {"kind": 4, "handle": 2}),
        (ReferenceProbe(function="f"), {"kind": 5, "handle": 1}),
        (RoleProbe(function="f", role="client"), {"kind": 6, "handle": 1, "role": Flag.CLIENT}),
        (RoleProbe(function="f", role="server"), {"kind": 6, "handle": 1, "role": Flag.SERVER}),
        (
            DetailProbe(
                function="f",
                details=("alpn",),
                value=2,
                pointer_offset=0,
                length=LengthArgument(argument=3, pointer=True),
            ),
            {
                "kind": 7,
                "handle": 1,
                "buffer": 2,
                "success": 3,
                "has_pointer_offset": 1,
                "length_source": LengthSource.OUT_POINTER,
                "length": 3,
            },
        ),
        (
            DetailProbe(function="f", details=("sni",), value=3, length=LengthArgument(argument=4)),
            {
                "kind": 7,
                "handle": 1,
                "buffer": 3,
                "success": 3,
                "length_source": LengthSource.ARGUMENT,
                "length": 4,
            },
        ),
        (
            DetailProbe(
                function="f",
                details=("alpn",),
                value=2,
                pointer_offset=4096,
                length=LengthOffset(offset=8),
                success="zero",
            ),
            {
                "kind": 7,
                "handle": 1,
                "buffer": 2,
                "success": 2,
                "has_pointer_offset": 1,
                "pointer_offset": 4096,
                "length_source": LengthSource.OFFSET,
                "number": 8,
            },
        ),
        (
            DetailProbe(function="f", details=("tls_version", "cipher"), length=FixedLength(size=8)),
            {"kind": 7, "handle": 1, "success": 3, "length_source": LengthSource.FIXED, "number": 8},
        ),
        (
            DetailProbe(function="f", details=("tls_version",), number=True),
            {"kind": 7, "handle": 1, "success": 3, "length_source": LengthSource.NONE},
        ),
        (
            DetailProbe(function="f", details=("cipher",)),
            {"kind": 7, "handle": 1, "success": 3, "length_source": LengthSource.TERMINATED},
        ),
    ],
)
def test_a_packed_probe_says_what_was_declared(probe: Probe, expected: dict[str, Any]) -> None:
    packed = dict(zip(PROBE_FIELDS, PROBE.unpack(pack(probe)), strict=True))
    assert packed == dict.fromkeys(PROBE_FIELDS, 0) | expected
