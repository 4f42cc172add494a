"""Records of the ring as BPF writes them, and a machine that answers the tracker's questions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from tlstap.schema import LibraryInfo, Process
from tlstap.tracing import layout
from tlstap.tracing.addresses import Ends, ends_of
from tlstap.tracing.engine import Totals
from tlstap.tracing.layout import EventKind, Flag

MS = 1_000_000


def ipv4(local: str, local_port: int, remote: str, remote_port: int) -> bytes:
    """A struct address."""
    ends = (IPv4Address(local).packed, IPv4Address(remote).packed)
    return layout.ADDRESS.pack(*ends, local_port, remote_port, layout.FAMILY_INET)


ADDRESS = ipv4("10.0.0.2", 50000, "192.0.2.7", 443)
NO_ADDRESS = bytes(layout.ADDRESS.size)


@dataclass(frozen=True)
class Raw:
    """Makes the records of one connection of one thread."""

    handle: int = 0x5500
    generation: int = 7
    pid: int = 100
    tid: int = 101
    uid: int = 1000
    probe: int = 2
    image: int = 1
    flags: int = 0
    comm: bytes = b"curl"
    address: bytes = ADDRESS
    time_ns: int = 5000 * MS

    def but(self, **changes: object) -> Raw:
        """The same with changes."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def _fields(self, kind: EventKind, detail: int = 0) -> tuple[object, ...]:
        return (
            self.time_ns,
            self.handle,
            self.generation,
            self.pid,
            self.tid,
            self.uid,
            self.probe,
            self.image,
            kind,
            self.flags,
            detail,
            self.comm,
            self.address,
        )

    def data(
        self, direction: str, offset: int, payload: bytes, *, length: int | None = None, room: int = 256
    ) -> bytes:
        """A data record; like the kernel's it has room behind the payload, with old bytes in it."""
        fields = (offset, len(payload) if length is None else length, 3 * MS)
        head = layout.DATA.pack(
            *self._fields(EventKind.DATA), *fields, layout.DIRECTIONS.index(direction), len(payload)
        )
        return (head + payload).ljust(room, b"\xaa")

    def birth(self) -> bytes:
        return layout.HEADER.pack(*self.but(flags=self.flags | Flag.FROM_START)._fields(EventKind.BIRTH))

    def handshake(self, duration_ns: int = 20 * MS) -> bytes:
        return layout.HANDSHAKE.pack(*self._fields(EventKind.HANDSHAKE, 1), duration_ns)

    def evidence(
        self,
        direction: str,
        moved: int,
        *,
        asked: int | None = None,
        in_call: int = 0,
        received: int = 0,
        sent: int = 0,
        plausible: bool = True,
    ) -> bytes:
        """What comes before the data of a call on trial. `in_call`: bytes on sockets, in its direction."""
        number = layout.DIRECTIONS.index(direction)
        during = [0, 0]
        during[number] = in_call
        fields = (moved if asked is None else asked, moved, *during, received, sent, number, int(plausible))
        return layout.EVIDENCE.pack(*self._fields(EventKind.EVIDENCE), *fields)

    def detail(self, text: bytes) -> bytes:
        return layout.DETAIL.pack(*self._fields(EventKind.DETAIL, len(text)), text.ljust(256, b"\xaa"))

    def end(self, read: int, written: int, failed_handshake_ns: int = 0) -> bytes:
        return layout.END.pack(*self._fields(EventKind.END), read, written, failed_handshake_ns)

    def _process_event(self, kind: EventKind, detail: int = 0) -> tuple[object, ...]:
        blank = self.but(handle=0, generation=0, probe=0, image=0, flags=0, address=NO_ADDRESS)
        return blank._fields(kind, detail)

    def exit(self) -> bytes:
        return layout.HEADER.pack(*self._process_event(EventKind.EXIT))

    def exec(self, path: bytes = b"/usr/bin/env") -> bytes:
        fields = self._process_event(EventKind.EXEC, len(path))
        return layout.DETAIL.pack(*fields, path.ljust(256, b"\xaa"))


LIBRARY = LibraryInfo(name="openssl", version="3.0.15", path="/lib/libssl.so.3", build_id="ab12")


@dataclass
class Machine:
    """What the tracker is told of the machine, and what it asked."""

    counted: dict[tuple[int, int], Totals] = field(default_factory=dict)
    asked_processes: list[tuple[int, int, int, str]] = field(default_factory=list)
    asked_libraries: list[tuple[int, int, int]] = field(default_factory=list)
    forgotten: list[tuple[int, int]] = field(default_factory=list)

    def count(self, raw: Raw, read: int, written: int) -> None:
        """What BPF counts for the connection."""
        totals = Totals(raw.handle, raw.pid, raw.generation, read, written)
        self.counted[raw.handle, raw.pid] = totals

    def process(self, pid: int, tid: int, uid: int, comm: str) -> Process:
        self.asked_processes.append((pid, tid, uid, comm))
        return Process(pid=pid, tid=tid, uid=uid, comm=comm, exe="/usr/bin/curl", container=None)

    def library(self, image: int, probe: int, pid: int) -> LibraryInfo:
        self.asked_libraries.append((image, probe, pid))
        return LIBRARY

    def function(self, image: int, probe: int) -> str:
        return f"function_{image}_{probe}"

    def describe(self, image: int, probe: int, value: bytes) -> list[tuple[str, str]]:
        detail = ("sni", "alpn", "tls_version", "cipher")[probe - 10]
        return [(detail, "" if value == b"unknown" else value.decode())]

    def ends(self, address: bytes, pid: int) -> Ends | None:
        return ends_of(address, pid)

    def totals(self, handle: int, pid: int) -> Totals | None:
        return self.counted.get((handle, pid))

    def forget(self, handle: int, pid: int) -> None:
        self.forgotten.append((handle, pid))
        self.counted.pop((handle, pid), None)
