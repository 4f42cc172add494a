"""Cookies of requests and responses, read as RFC 6265, section 5, has browsers read them."""

from __future__ import annotations

from calendar import timegm
from collections.abc import Iterable
from contextlib import suppress
from email.utils import parsedate_tz
from typing import Any

from tlstap.sinks.har.clock import moment
from tlstap.sinks.har.model import Cookie

_MAX_DATE = 64
_SPACE = " \t"


def request_cookies(headers: Iterable[tuple[str, str]]) -> tuple[Cookie, ...]:
    """What the Cookie headers carry; HTTP/2 may have one for each cookie."""
    pairs = [
        pair.strip(_SPACE) for name, value in headers if name.lower() == "cookie" for pair in value.split(";")
    ]
    return tuple(Cookie(**_pair(pair)) for pair in pairs if pair)


def response_cookies(headers: Iterable[tuple[str, str]], time_ns: int) -> tuple[Cookie, ...]:
    """What the Set-Cookie headers carry.

    :param time_ns: when they came, from which a Max-Age counts.
    """
    return tuple(_set_cookie(value, time_ns) for name, value in headers if name.lower() == "set-cookie")


def _set_cookie(value: str, time_ns: int) -> Cookie:
    pair, *attributes = value.split(";")
    fields: dict[str, Any] = {**_pair(pair), "http_only": False, "secure": False}
    max_age: str | None = None
    for attribute in attributes:
        name, _, content = (word.strip(_SPACE) for word in attribute.partition("="))
        match name.lower():
            case "path" | "domain" as field:
                fields[field] = content
            case "samesite":
                fields["same_site"] = content
            case "secure":
                fields["secure"] = True
            case "httponly":
                fields["http_only"] = True
            case "expires":
                fields["expires"] = _date(content)
            case "max-age":
                max_age = content
    if max_age is not None and max_age.removeprefix("-").isdecimal() and max_age.isascii():
        seconds = int(max_age[:12])
        # Zero or less means: at once.
        fields["expires"] = moment(time_ns + seconds * 1_000_000_000 if seconds > 0 else 0)
    return Cookie(**fields)


def _pair(text: str) -> dict[str, str]:
    name, equals, value = (word.strip(_SPACE) for word in text.partition("="))
    return {"name": name, "value": value} if equals else {"name": "", "value": name}


def _date(text: str) -> str | None:
    with suppress(ValueError, OverflowError):
        date = parsedate_tz(text[:_MAX_DATE])
        if date is not None:
            return moment((timegm(date[:9]) - (date[9] or 0)) * 1_000_000_000)
    return None
