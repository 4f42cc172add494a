"""What kit and driver tell each other: the scenarios, and the lines of JSON on the driver's stdout."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tlstap.errors import TlstapError

SCENARIOS: dict[str, str] = {
    "exchange": "a client and a server, bytes both ways, small",
    "partial": "records read in small pieces, small writes, writes to a full socket",
    "failed": "writes before the handshake, reads with nothing there and after the end",
    "large": "1 MiB a write; reads into 64 KiB and 1 MiB",
    "reuse": "handles freed and made again, twelve connections",
    "reset": "handles used for several connections without being freed, if the library can do that",
    "close": "a connection that ends while another one goes on",
    "threads": "four threads with connections of their own",
    "interleaved": "twelve connections that take turns",
}
"""Name, and what happens in it."""

CERTIFICATE_VARIABLE = "TLSTAP_CERTIFICATE"
KEY_VARIABLE = "TLSTAP_KEY"

PROTOCOL = """\
A driver is any program that uses the library. The kit runs it once for each scenario, with the scenario's
name as its last argument, and with the paths of a server's certificate and key (PEM) in TLSTAP_CERTIFICATE
and TLSTAP_KEY. It prints a line of JSON on stdout for each end of a connection when that has ended, and exits
with status 0. The line has

  role           client or server
  read, written  what the application got from the library, or gave it, on this connection: the number of
                 bytes and their hash, fnv1a64 (FNV-1a of 64 bits) or sha256, in hexadecimal
  handle         optional: the library's handle, as text; shows that handles were used again
  failed_reads, failed_writes
                 optional: how many calls moved nothing; the scenario failed must have failed reads

    {"role": "client", "read": {"bytes": 501, "fnv1a64": "2aa1b76ce809d090"},
     "written": {"bytes": 1000, "fnv1a64": "4c0d26a8a8dccf0d"}}

(in one line). For a scenario that it can't play it prints {"left_out": "why"}. Bytes should differ between
connections and directions. In the scenario close, a first connection ends before a second moves its last
bytes. For C there is a header with all scenarios: """


Octets = bytes | bytearray


def fnv1a64(data: Octets) -> str:
    """The FNV-1a hash of 64 bits, in hexadecimal."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Stream(_Line):
    """What went one way: so many bytes, with this hash."""

    bytes: int = Field(ge=0)
    fnv1a64: str | None = Field(default=None, pattern="^[0-9a-f]{16}$")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _has_hash(self) -> Stream:
        if self.fnv1a64 is None and self.sha256 is None:
            raise ValueError("needs fnv1a64 or sha256")
        return self

    def is_of(self, data: Octets) -> bool:
        """Whether these are the bytes."""
        if len(data) != self.bytes:
            return False
        if self.sha256 is not None:
            return hashlib.sha256(data).hexdigest() == self.sha256
        return fnv1a64(data) == self.fnv1a64


class End(_Line):
    """One end of a connection, as the driver reports it."""

    role: Literal["client", "server"]
    read: Stream
    written: Stream
    handle: str | None = None
    failed_reads: int = 0
    failed_writes: int = 0


class LeftOut(_Line):
    """The driver can't play this scenario."""

    left_out: str


_line: TypeAdapter[End | LeftOut] = TypeAdapter(End | LeftOut)


class DriverError(TlstapError):
    """The driver's output is not what the protocol says."""


def parse(output: bytes) -> list[End] | LeftOut:
    """The lines that a driver printed.

    :raises DriverError: a line is not one of the protocol.
    """
    ends: list[End] = []
    for number, text in enumerate(output.splitlines(), 1):
        try:
            line = _line.validate_json(text)
        except ValidationError as error:
            [first, *_] = error.errors(include_url=False)
            shown = text[:80].decode("utf-8", "replace")
            raise DriverError(f"line {number} of its output is wrong ({first['msg']}): {shown}") from None
        if isinstance(line, LeftOut):
            return line
        ends.append(line)
    return ends
