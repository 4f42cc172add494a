"""gRPC's status for people: codes have names, messages are percent-encoded."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from tlstap.records import Message
from tlstap.sinks.escape import escape, escape_bytes
from tlstap.sinks.layout import Segment

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
    name = _NAMES.get(value)
    return ("ok" if value == "0" else "failed", escape(value) + (f" {name}" if name else ""))


def status_message(value: str) -> str:
    """What grpc-message says, escaped for a terminal."""
    return escape_bytes(unquote_to_bytes(value))


def status_of(response: Message) -> str | None:
    """The value of grpc-status: in the trailers, or in the headers where a response has nothing else."""
    fields = [*response.trailers, *response.headers]
    return next((value for name, value in fields if name.lower() == STATUS), None)
