"""The structs and numbers that cross the border: what a C compiler says is what tracing/layout.py says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from struct import Struct, calcsize

import pytest

import tlstap
from tlstap.tracing import layout

BPF = Path(tlstap.__file__).parent / "bpf"

STRUCTS: dict[str, tuple[Struct, tuple[str, ...]]] = {
    "address": (layout.ADDRESS, ("local", "remote", "local_port", "remote_port", "family")),
    "event_header": (
        layout.HEADER,
        (
            "time_ns",
            "handle",
            "generation",
            "tgid",
            "tid",
            "uid",
            "probe",
            "image",
            "kind",
            "flags",
            "detail",
            "comm",
            "address",
        ),
    ),
    "data_event": (layout.DATA, ("header", "offset", "length", "duration_ns", "direction", "captured")),
    "handshake_event": (layout.HANDSHAKE, ("header", "duration_ns")),
    "end_event": (layout.END, ("header", "moved[0]", "moved[1]", "handshake_ns")),
    "evidence_event": (
        layout.EVIDENCE,
        (
            "header",
            "asked",
            "moved",
            "in_call[0]",
            "in_call[1]",
            "in_process[0]",
            "in_process[1]",
            "direction",
            "plausible",
        ),
    ),
    "call_site": (layout.CALL_SITE, ("distance", "probe", "image")),
    "traffic": (layout.TRAFFIC, ("moved[0]", "moved[1]")),
    "detail_event": (layout.DETAIL, ("header", "text")),
    "probe": (layout.PROBE, layout.PROBE_FIELDS),
    "connection_key": (layout.CONNECTION_KEY, ("handle", "tgid", "zero")),
    "connection": (
        layout.CONNECTION,
        (
            "generation",
            "moved[0]",
            "moved[1]",
            "socket",
            "handshake_start_ns",
            "handshake_last_ns",
            "references",
            "unopened",
            "flags",
            "handshake_done",
            "details",
            "image",
            "probe",
            "held",
            "address",
        ),
    ),
    "ended_key": (
        layout.ENDED_KEY,
        ("connection.handle", "connection.tgid", "connection.zero", "generation"),
    ),
    "file_id": (layout.FILE_ID, ("inode", "device")),
}
"""The structs and their fields, in the order in which layout.py's docstrings name the values."""

CONSTANTS = {
    **{f"EVENT_{kind.name}": int(kind) for kind in layout.EventKind},
    **{f"FLAG_{flag.name}": int(flag) for flag in layout.Flag},
    **{f"PROBE_{kind.name}": int(kind) for kind in layout.ProbeKind},
    **{f"COUNT_{counter.name}": int(counter) for counter in layout.Counter},
    **{f"SUCCESS_{(name or 'any').upper()}": value for name, value in layout.SUCCESS.items()},
    **{f"LENGTH_{source.name}": int(source) for source in layout.LengthSource},
    **{f"DIRECTION_{name.upper()}": value for value, name in enumerate(layout.DIRECTIONS)},
    "FAMILY_NONE": layout.FAMILY_NONE,
    "FAMILY_INET": layout.FAMILY_INET,
    "FAMILY_INET6": layout.FAMILY_INET6,
    "FAMILY_DESCRIPTOR": layout.FAMILY_DESCRIPTOR,
    "COUNTERS": len(layout.Counter),
}

FAMILIES = ("EVENT", "FLAG", "PROBE", "COUNT", "SUCCESS", "LENGTH", "DIRECTION", "FAMILY")

PROGRAM = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64; typedef int32_t s32;
#define BPF_RINGBUF_OUTPUT(...) struct unused
#define BPF_ARRAY(...) struct unused
#define BPF_HASH(...) struct unused
#define BPF_PERCPU_ARRAY(...) struct unused
#define BPF_TABLE(...) struct unused
#define BPF_PROG_ARRAY(...) struct unused
%s
#define SHOW_SIZE(type) printf("size %%s %%zu\\n", #type, sizeof(struct type))
#define SHOW(type, field) printf("field %%s.%%s %%zu %%zu\\n", #type, #field, offsetof(struct type, field), \\
                                 sizeof(((struct type *)0)->field))
int main(void) {
    %s
    return 0;
}
"""


def headers() -> str:
    """The two headers that define what crosses the border."""
    return "".join((BPF / name).read_text() for name in ("event.h", "maps.h"))


def fields_of(struct: str) -> list[str]:
    """The fields of a struct as its C text declares them, without types."""
    found = re.search(rf"^struct {struct} {{\n(.*?)^}};", headers(), re.MULTILINE | re.DOTALL)
    assert found, f"no struct {struct}"
    text = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
    return re.findall(r"(\w+)(?:\[\w+\])?;", text)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, ...]]:
    """What the compiler says: sizes by struct, (offset, size) by struct.field, values by constant."""
    folder = tmp_path_factory.mktemp("layout")
    shows = [f"SHOW_SIZE({struct});" for struct in STRUCTS]
    shows += [f"SHOW({struct}, {field});" for struct, (_, fields) in STRUCTS.items() for field in fields]
    shows += [f'printf("value {name} %llu\\n", (unsigned long long){name});' for name in CONSTANTS]
    source = folder / "layout.c"
    source.write_text(PROGRAM % (headers(), "\n    ".join(shows)))
    subprocess.run(["gcc", "-Wall", "-Werror=padded", "-o", folder / "layout", source], check=True)
    output = subprocess.run([folder / "layout"], check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in output.splitlines()]
    return {name: tuple(map(int, numbers)) for _, name, *numbers in lines}


def places(struct: Struct) -> list[tuple[int, int]]:
    """(offset, size) of each value that the struct unpacks."""
    codes = re.findall(r"\d+s|\d*[A-Za-z]", struct.format.removeprefix("="))
    single = [code for item in codes for code in _singly(item)]
    found, offset = [], 0
    for code in single:
        size = calcsize(f"={code}")
        found.append((offset, size))
        offset += size
    return found


def _singly(item: str) -> list[str]:
    return [item] if item.endswith("s") else [item[-1]] * int(item[:-1] or 1)


@pytest.mark.parametrize("name", STRUCTS)
def test_struct(compiled: dict[str, tuple[int, ...]], name: str) -> None:
    struct, fields = STRUCTS[name]
    assert compiled[name] == (struct.size,)
    ours = places(struct)
    if fields[0] == "header":
        header_values = len(places(layout.HEADER))
        assert ours[:header_values] == places(layout.HEADER)
        ours = [(0, layout.HEADER.size), *ours[header_values:]]
    theirs = [compiled[f"{name}.{field}"] for field in fields]
    assert dict(zip(fields, theirs, strict=True)) == dict(zip(fields, ours, strict=True))


@pytest.mark.parametrize("name", STRUCTS)
def test_no_field_is_left_out(name: str) -> None:
    named = dict.fromkeys(re.sub(r"[.\[].*", "", field) for field in STRUCTS[name][1])
    assert list(named) == fields_of(name)


def test_no_struct_of_events_is_left_out() -> None:
    declared = set(re.findall(r"^struct (\w+) {", (BPF / "event.h").read_text(), re.MULTILINE))
    assert declared <= set(STRUCTS)


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant(compiled: dict[str, tuple[int, ...]], name: str) -> None:
    assert compiled[name] == (CONSTANTS[name],)


def test_no_constant_is_left_out() -> None:
    text = re.sub(r"/\*.*?\*/", "", headers(), flags=re.DOTALL)
    pattern = rf"^(?:#define |    |enum \w+ {{ )({'|'.join(FAMILIES)})_(\w+)\b"
    declared = {f"{family}_{rest}" for family, rest in re.findall(pattern, text, re.MULTILINE)}
    assert declared >= {"EVENT_DATA", "FLAG_CLIENT", "SUCCESS_POSITIVE", "DIRECTION_READ", "COUNT_LOST_BYTES"}
    assert declared <= set(CONSTANTS)


def test_the_kind_is_where_the_reader_looks(compiled: dict[str, tuple[int, ...]]) -> None:
    assert compiled["event_header.kind"] == (layout.KIND_OFFSET, 2)
    assert max(layout.EventKind) < 256, "the reader looks at its first byte only"


def test_the_length_of_a_text(compiled: dict[str, tuple[int, ...]]) -> None:
    raw = bytearray(layout.DETAIL.size)
    raw[compiled["event_header.detail"][0]] = 9
    start = compiled["detail_event.text"][0]
    raw[start : start + 12] = b"/bin/caf\xe9\xaa\xaa\xaa"
    assert layout.text_of(bytes(raw)) == "/bin/caf\\xe9"


def test_the_process_is_where_the_session_looks(compiled: dict[str, tuple[int, ...]]) -> None:
    """session.py takes the process id out of a record without unpacking it."""

    offset, size = compiled["event_header.tgid"]
    raw = bytearray(layout.HEADER.size)
    raw[offset : offset + size] = (123456).to_bytes(size, "little")
    assert layout.tgid_of(bytes(raw)) == 123456
