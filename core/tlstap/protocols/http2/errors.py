"""Names of HTTP/2's error codes and settings (RFC 9113, 7 and 6.5.2; RFC 8441, 3; RFC 9218, 2.1)."""

from __future__ import annotations

_ERRORS = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)
_SETTINGS = {
    1: "HEADER_TABLE_SIZE",
    2: "ENABLE_PUSH",
    3: "MAX_CONCURRENT_STREAMS",
    4: "INITIAL_WINDOW_SIZE",
    5: "MAX_FRAME_SIZE",
    6: "MAX_HEADER_LIST_SIZE",
    8: "ENABLE_CONNECT_PROTOCOL",
    9: "NO_RFC7540_PRIORITIES",
}


def error_name(code: int) -> str:
    """The name of an error code; its number if it has none."""
    return _ERRORS[code] if code < len(_ERRORS) else str(code)


def setting_name(number: int) -> str:
    """The name of a setting; its number if it has none."""
    return _SETTINGS.get(number, str(number))
