"""Declarations: what they refuse, and that the message names the mistake."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tlstap.library import (
    BirthProbe,
    ContentProbe,
    DataProbe,
    DetailProbe,
    FixedLength,
    FreeProbe,
    HandshakeProbe,
    LengthOffset,
    Library,
    OutPointer,
    PacketProbe,
    Recognise,
    RoleProbe,
    VersionString,
)

READ = DataProbe(function="my_read", direction="read")
WRITE = DataProbe(function="my_write", direction="write")


def library(**changes: Any) -> Library:
    """A complete declaration."""
    given: dict[str, Any] = {
        "name": "mine",
        "title": "Mine",
        "recognise": Recognise(symbols=("my_read",)),
        "probes": (READ, WRITE),
    }
    return Library(**given | changes)


def refused(model: type, **fields: Any) -> str:
    """The message of the refusal."""
    with pytest.raises(ValidationError) as caught:
        model(**fields)
    return str(caught.value)


def test_the_defaults_are_those_of_openssl() -> None:
    assert (READ.handle, READ.buffer, READ.length) == (1, 2, 3)
    assert (READ.moved.source, READ.success) == ("return", "positive")
    assert HandshakeProbe(function="f").success == "one"
    assert BirthProbe(function="f").handle == 0
    assert FreeProbe(function="f").handle == 1
    assert OutPointer(argument=4).size == 8
    assert library().snippet is None


def test_declarations_cannot_be_changed_and_are_equal_by_content() -> None:
    with pytest.raises(ValidationError):
        READ.function = "other"  # type: ignore[misc]
    assert DataProbe(function="my_read", direction="read") == READ
    assert len({DataProbe(function="my_read", direction="read"), READ, WRITE}) == 2


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        (Recognise, {}, "would claim every file"),
        (Recognise, {"not_symbols": ("a",)}, "would claim every file"),
        (Recognise, {"symbols": ("",)}, "symbols.0"),
        (Recognise, {"symbol": ("a",)}, "symbol\n  Extra inputs"),
        (VersionString, {"pattern": "("}, "not a regular expression"),
        (VersionString, {"pattern": "1"}, "exactly one group, has 0"),
        (VersionString, {"pattern": "(1)(2)"}, "exactly one group, has 2"),
        (DataProbe, {"function": "f", "direction": "sideways"}, "direction"),
        (DataProbe, {"function": "f", "direction": "read", "handle": 0}, "handle"),
        (DataProbe, {"function": "f", "direction": "read", "buffer": 7}, "buffer"),
        (DataProbe, {"function": "", "direction": "read"}, "function"),
        (DataProbe, {"function": "f", "direction": "read", "success": "two"}, "success"),
        (DataProbe, {"function": "f", "direction": "read", "condition": "a b"}, "condition"),
        (DataProbe, {"function": "f", "direction": "read", "condition": "f();} int x"}, "condition"),
        (OutPointer, {"argument": 4, "size": 2}, "size"),
        (RoleProbe, {"function": "f", "role": "middle"}, "role"),
        (DataProbe, {"function": "f", "direction": "read", "identify": "f();} int x"}, "identify"),
        (DataProbe, {"function": "f", "direction": "write", "pending": (1,)}, "pending.0"),
        (DataProbe, {"function": "f", "direction": "write", "pending": (-1, -2, -3)}, "pending"),
        (BirthProbe, {"function": "f", "handle": 1, "out_pointer": 2}, "are for a new handle"),
        (BirthProbe, {"function": "f", "handle": 1, "role": "client"}, "are for a new handle"),
        (DetailProbe, {"function": "f", "details": ("colour",)}, "details.0"),
        (DetailProbe, {"function": "f", "details": ()}, "details"),
        (DetailProbe, {"function": "f", "details": ("sni",), "pointer_offset": 4097}, "pointer_offset"),
        (LengthOffset, {"offset": 4097}, "offset"),
        (FixedLength, {"size": 256}, "size"),
    ],
)
def test_nonsense_is_refused(model: type, fields: dict[str, Any], words: str) -> None:
    assert words in refused(model, **fields)


@pytest.mark.parametrize("name", ["", "Upper", "1st", "with space", "x" * 33, "../x", "a.b"])
def test_names_of_libraries(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        library(name=name)
    assert library(name="wolf_ssl-5").name == "wolf_ssl-5"


@pytest.mark.parametrize("probes", [(), (READ,), (WRITE,), (READ, HandshakeProbe(function="h"))])
def test_both_directions_are_needed(probes: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError, match="needs a data probe for each direction"):
        library(probes=probes)


def test_a_condition_needs_a_snippet() -> None:
    asking = DataProbe(function="my_write", direction="write", condition="is_mine")
    with pytest.raises(ValidationError, match="no snippet to define it"):
        library(probes=(READ, asking))
    assert library(probes=(READ, asking), snippet="mine.h").probes[1].condition == "is_mine"


def test_an_identity_needs_a_snippet() -> None:
    asking = DataProbe(function="my_write", direction="write", identify="my_identity")
    with pytest.raises(ValidationError, match="no snippet to define it"):
        library(probes=(READ, asking))


@pytest.mark.parametrize("probe", [PacketProbe(function="p"), ContentProbe(function="p")])
def test_packets_and_what_opens_them_need_one_another(probe: Any) -> None:
    with pytest.raises(ValidationError, match="need one another"):
        library(probes=(READ, WRITE, probe))


def test_probes_can_be_written_as_plain_data() -> None:
    plain = library().model_dump()
    assert Library.model_validate(plain) == library()
    assert Library.model_validate_json(library().model_dump_json()) == library()
    plain["probes"][0]["kind"] = "dataa"
    with pytest.raises(ValidationError, match="'dataa'"):
        Library.model_validate(plain)
