"""gRPC's status for people: codes have names, messages are percent-encoded."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from urllib.parse import unquote_to_bytes

from tlstap.records import Message, ProtocolMessage
from tlstap.sinks.escape import escape, escape_bytes
from tlstap.sinks.layout import Segment

PROTOCOL = "grpc"
STATUS = "grpc-status"
MESSAGE = "grpc-message"

_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_NAMES = {str(code): name for code, name in enumerate(_CODES)}


def status(value: str) -> Segment:
    """A status code with its name, if it has one."""
    name = status_name(value)
    return (status_style(value), escape(value) + (f" {name}" if name else ""))


def status_name(value: str) -> str:
    """The name of a status code, "" if it has none."""
    return _NAMES.get(value, "")


def status_style(value: str) -> str:
    """How a status code is shown."""
    return "ok" if value == "0" else "failed"


def status_message(value: str) -> str:
    """What grpc-message says, escaped for a terminal."""
    return escape_bytes(unquote_to_bytes(value.encode("utf-8", "backslashreplace")))


def find_status(fields: Iterable[tuple[str, str]]) -> str | None:
    """The value of grpc-status among headers or trailers."""
    return next((value for name, value in fields if name.lower() == STATUS), None)


def status_of(response: Message) -> str | None:
    """The status in the trailers, or in the headers where a response has nothing else."""
    return find_status(chain(response.trailers, response.headers))


def web_trailers(record: ProtocolMessage) -> list[tuple[str, str]] | None:
    """The trailers that gRPC-Web sends as the last message of a body; None if it is another message."""
    pairs = record.details.get("trailers")
    if record.protocol != PROTOCOL or record.type != "trailers" or not isinstance(pairs, list):
        return None
    # As the reader of the bodies makes them: pairs of texts.
    return [(str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2]
