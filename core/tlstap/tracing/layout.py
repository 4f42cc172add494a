"""The structs that cross the border to BPF, as Python reads and writes them. bpf/event.h defines them.

A test compiles event.h and compares sizes, offsets and constants with this module.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct

from tlstap.records import Direction


class EventKind(IntEnum):
    """`event_header.kind`."""

    DATA = 1
    BIRTH = 2
    HANDSHAKE = 3
    END = 4
    DETAIL = 5
    EXEC = 6
    EXIT = 7
    EVIDENCE = 8


class Flag(IntFlag):
    """`event_header.flags`."""

    FROM_START = 1
    CLIENT = 2
    SERVER = 4
    INFERRED = 8
    UNREADABLE = 16
    UNOPENED = 32


class ProbeKind(IntEnum):
    """`probe.kind`."""

    DATA = 1
    HANDSHAKE = 2
    BIRTH = 3
    FREE = 4
    REFERENCE = 5
    ROLE = 6
    DETAIL = 7
    FLUSH = 8
    PACKET = 9
    CONTENT = 10


class LengthSource(IntEnum):
    """`probe.length_source`."""

    RETURNED = 0
    OUT_POINTER = 1
    ARGUMENT = 2
    TERMINATED = 3
    OFFSET = 4
    FIXED = 5
    NONE = 6


class Counter(IntEnum):
    """Index into the map `counters`."""

    LOST_EVENTS = 0
    LOST_BYTES = 1
    NESTED_TOO_DEEP = 2
    IMPLAUSIBLE = 3
    UNREADABLE = 4
    BEYOND_BOUND = 5


DIRECTIONS: tuple[Direction, Direction] = ("read", "write")
"""By `data_event.direction`."""

SUCCESS = {"positive": 0, "one": 1, "zero": 2, None: 3}

ROLE = {"client": Flag.CLIENT, "server": Flag.SERVER, None: 0}
"""`probe.role`."""

FAMILY_NONE = 0
FAMILY_INET = 2
FAMILY_INET6 = 10
FAMILY_DESCRIPTOR = 255

_HEADER = "QQQIIIHHHHI16s40s"

_TGID_OFFSET = 24
_DETAIL_OFFSET = 44

HEADER = Struct("=" + _HEADER)
"""struct event_header: time_ns, handle, generation, tgid, tid, uid, probe, image, kind, flags, detail,
comm, address (raw, see ADDRESS)."""

PROBE_OFFSET, IMAGE_OFFSET, KIND_OFFSET = 36, 38, 40
"""Of fields of struct event_header (two bytes each)."""

DATA = Struct("=" + _HEADER + "QQQII")
"""struct data_event: the header, then offset, length, duration_ns, direction, captured."""

HANDSHAKE = Struct("=" + _HEADER + "Q")
"""struct handshake_event: the header, then duration_ns."""

END = Struct("=" + _HEADER + "QQQ")
"""struct end_event: the header, then bytes read, bytes written, handshake_ns."""

EVIDENCE = Struct("=" + _HEADER + "QQQQQQII")
"""struct evidence_event: the header, then asked, moved, in_call (received, sent), in_process (received,
sent), direction, plausible."""

DETAIL = Struct("=" + _HEADER + "256s")
"""struct detail_event: the header, then the text; `detail` of the header is its length in bytes."""

ADDRESS = Struct("=16s16sIHH")
"""struct address: local, remote, local_port, remote_port, family."""

PROBE = Struct("=10BHBBHiiI")
"""struct probe, see PROBE_FIELDS."""

PROBE_FIELDS = (
    "kind",
    "direction",
    "handle",
    "buffer",
    "length",
    "moved",
    "moved_size",
    "success",
    "role",
    "length_source",
    "number",
    "has_pointer_offset",
    "vector",
    "pointer_offset",
    "pending[0]",
    "pending[1]",
    "only_from",
)

CONNECTION_KEY = Struct("=QII")
"""struct connection_key: handle, tgid, zero."""

CONNECTION = Struct("=QQQQQQHHHBBHHI40s")
"""struct connection: generation, bytes read, bytes written, socket, handshake_start_ns, handshake_last_ns,
references, unopened, flags, handshake_done, details, image, probe, held, address."""

ENDED_KEY = Struct("=QIIQ")
"""struct ended_key: handle, tgid, zero, generation."""

CALL_SITE = Struct("=QII")
"""struct call_site: distance from the probe (modulo 2**64), probe, image."""

TRAFFIC = Struct("=QQ")
"""struct traffic: bytes received, bytes sent."""

FILE_ID = Struct("=QQ")
"""struct file_id: inode, device as the kernel counts it (major << 20 | minor)."""


def text_of(raw: bytes) -> str:
    """The text of a struct detail_event."""
    length = int.from_bytes(raw[_DETAIL_OFFSET : _DETAIL_OFFSET + 4], "little")
    return raw[HEADER.size : HEADER.size + length].decode("utf-8", "backslashreplace")


def tgid_of(raw: bytes) -> int:
    """The process of a record."""
    return int.from_bytes(raw[_TGID_OFFSET : _TGID_OFFSET + 4], "little")
