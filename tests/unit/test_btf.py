"""The BTF reader, on type information built here: which is described by what C would say."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlstap import cachefile
from tlstap.errors import KernelError
from tlstap.tracing import btf
from tlstap.tracing.btf import BtfTypes, field_offsets

INT, PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF, CONST = 1, 2, 3, 4, 5, 6, 8, 10
FUNC_PROTO, DATASEC, ENUM64 = 13, 15, 19
BIG = 1 << 31

Member = tuple[str, int, int]
"""(name, type, offset in bits)"""


class Types:
    """Writes BTF. Every method returns the new type's number."""

    def __init__(self) -> None:
        self.strings = b"\0"
        self.types = b""
        self.count = 0

    def add(self, name: str, kind: int, value: int, extra: bytes = b"", count: int = 0, flag: int = 0) -> int:
        info = flag << 31 | kind << 24 | count
        self.types += struct.pack("<III", self.string(name), info, value) + extra
        self.count += 1
        return self.count

    def string(self, name: str) -> int:
        if not name:
            return 0
        self.strings += name.encode() + b"\0"
        return len(self.strings) - len(name) - 1

    def composite(self, name: str, *members: Member, kind: int = STRUCT, flag: int = 0) -> int:
        extra = b"".join(struct.pack("<III", self.string(n), type_, offset) for n, type_, offset in members)
        return self.add(name, kind, 64, extra, len(members), flag)

    def content(self) -> bytes:
        header = struct.pack(
            "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings)
        )
        return header + self.types + self.strings


def example() -> Types:
    """struct sock, in small, with types of other kinds before, between and after."""
    types = Types()
    number = types.add("int", INT, 4, struct.pack("<I", 32))
    types.add("", ARRAY, 0, struct.pack("<III", number, number, 4))
    types.add("", ENUM, 4, bytes(16), 2)
    types.add("", ENUM64, 8, bytes(36), 3)
    types.add("", FUNC_PROTO, 0, bytes(24), 3)
    types.add(".data", DATASEC, 0, bytes(12), 1)
    addresses = types.composite("", ("skc_daddr", number, 0), ("skc_rcv_saddr", number, 32))
    pair = types.composite("", ("skc_addrpair", number, 0), ("", addresses, 0), kind=UNION)
    common = types.composite(
        "sock_common", ("", pair, 0), ("skc_hash", number, 64), ("skc_family", number, 128)
    )
    alias = types.add("sock_common_t", TYPEDEF, types.add("", CONST, common))
    types.composite("sock", ("sk_first", number, 0), ("__sk_common", alias, 64), ("sk_next", number, 320))
    return types


def offsets(types: Types, *paths: str) -> list[int]:
    found = BtfTypes(types.content()).offsets(paths)
    return [found[path] for path in paths]


def test_offsets_through_anonymous_members_and_typedefs() -> None:
    assert offsets(
        example(),
        "sock.sk_first",
        "sock.__sk_common",
        "sock.__sk_common.skc_daddr",
        "sock.__sk_common.skc_rcv_saddr",
        "sock.__sk_common.skc_family",
        "sock.sk_next",
        "sock_common.skc_rcv_saddr",
    ) == [0, 8, 8, 12, 24, 40, 4]


def test_structs_with_bitfields() -> None:
    types = Types()
    number = types.add("int", INT, 4, bytes(4))
    types.composite("mixed", ("flag", number, 1 << 24 | 3), ("plain", number, 64), flag=1)
    assert offsets(types, "mixed.plain") == [8]
    with pytest.raises(KernelError, match=r"mixed\.flag is not there"):
        offsets(types, "mixed.flag")


@pytest.mark.parametrize(
    "path", ["nothing.field", "sock.nothing", "sock.sk_first.inner", "sock.__sk_common.nothing", "int.field"]
)
def test_fields_that_are_not_there(path: str) -> None:
    with pytest.raises(KernelError, match=f"{path} is not there in this kernel"):
        offsets(example(), path)


def test_two_structs_of_one_name() -> None:
    types = example()
    types.composite("sock", ("sk_first", 1, 0), ("sk_next", 1, 64))
    assert offsets(types, "sock.sk_first", "sock.__sk_common") == [0, 8]
    with pytest.raises(KernelError, match=r"sock\.sk_next is ambiguous"):
        offsets(types, "sock.sk_next")


def test_types_that_contain_themselves() -> None:
    types = Types()
    types.composite("outer", ("", 2, 0))
    types.composite("", ("", 2, 0), ("", 3, 0))
    types.add("loop", TYPEDEF, 3)
    with pytest.raises(KernelError, match="typedefs without end"):
        offsets(types, "outer.field")


@pytest.mark.parametrize(
    ("offset", "form", "value"),
    [
        (0, "<H", 1),
        (2, "<B", 9),
        (4, "<I", 1 << 31),
        (12, "<I", 1 << 31),
        (20, "<I", 1 << 31),
        (28, "<I", 31 << 24),
    ],
)
def test_malformed_headers(offset: int, form: str, value: int) -> None:
    content = bytearray(example().content())
    struct.pack_into(form, content, offset, value)
    with pytest.raises(KernelError, match="malformed type information"):
        BtfTypes(bytes(content)).offsets(["sock.sk_first"])


@settings(max_examples=300, deadline=1000)
@given(st.data())
def test_changed_bytes_give_an_offset_or_a_kernel_error(data: st.DataObject) -> None:
    content = bytearray(example().content())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    try:
        found = BtfTypes(bytes(content[:cut])).offsets(["sock.__sk_common.skc_family", "sock.sk_next"])
    except KernelError:
        return
    assert all(isinstance(offset, int) and offset >= 0 for offset in found.values())


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(btf, "VMLINUX", tmp_path / "vmlinux")
    monkeypatch.setattr(btf, "_NOTES", tmp_path / "notes")
    (tmp_path / "notes").write_bytes(b"build one")
    (tmp_path / "vmlinux").write_bytes(example().content())
    return tmp_path


FIELDS = {"FAMILY": "sock.__sk_common.skc_family", "NEXT": "sock.sk_next"}


def test_offsets_of_the_running_kernel_are_cached(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert field_offsets(FIELDS) == {"FAMILY": 24, "NEXT": 40}

    def read_again(self: BtfTypes, paths: object) -> dict[str, int]:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(BtfTypes, "offsets", read_again)
        assert field_offsets({"OTHER_NAME": FIELDS["NEXT"]}) == {"OTHER_NAME": 40}
        with pytest.raises(AssertionError, match="read again"):
            field_offsets({"FIRST": "sock.sk_first"})
        (kernel / "notes").write_bytes(b"build two")
        with pytest.raises(AssertionError, match="read again"):
            field_offsets(FIELDS)
    (kernel / "notes").unlink()
    assert field_offsets(FIELDS) == {"FAMILY": 24, "NEXT": 40}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"null", b'{"kernel": 1}', b'{"kernel": "KERNEL", "offsets": [1]}']
)
def test_a_damaged_cache_is_written_anew(kernel: Path, content: bytes) -> None:
    cachefile.store("kernel-offsets.json", content.replace(b"KERNEL", btf._kernel_identity().encode()))
    assert field_offsets(FIELDS) == {"FAMILY": 24, "NEXT": 40}
    assert b'"sock.sk_next": 40' in (cachefile.load("kernel-offsets.json") or b"")


def test_a_kernel_without_type_information(kernel: Path) -> None:
    (kernel / "vmlinux").unlink()
    with pytest.raises(KernelError, match=r"does not exist: .*CONFIG_DEBUG_INFO_BTF"):
        field_offsets(FIELDS)
    (kernel / "vmlinux").mkdir()
    with pytest.raises(KernelError, match="can't be read"):
        field_offsets(FIELDS)
