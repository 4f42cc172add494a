"""Cookies in a HAR document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.samples import NOW

from tlstap.sinks.har.cookies import request_cookies, response_cookies


def asked(*values: str) -> list[tuple[str, str]]:
    return [(it.name, it.value) for it in request_cookies([("Cookie", value) for value in values])]


def answered(value: str) -> dict[str, object]:
    [cookie] = response_cookies([("set-cookie", value)], NOW)
    return cookie.model_dump(exclude_none=True)


def test_requests() -> None:
    assert asked("a=b; c=d=e;f= g ;; h", "i=") == [
        ("a", "b"),
        ("c", "d=e"),
        ("f", "g"),
        ("", "h"),
        ("i", ""),
    ]
    assert asked("", " ; ") == []
    assert request_cookies([("Set-Cookie", "a=b"), ("X-Cookie", "c=d")]) == ()


def test_a_response() -> None:
    value = "id=a3=; Expires=Wed, 21 Oct 2026 07:28:00 GMT; path=/x; DOMAIN=example.com; Secure; HttpOnly; x"
    assert answered(value) == {
        "name": "id",
        "value": "a3=",
        "expires": "2026-10-21T07:28:00.000Z",
        "path": "/x",
        "domain": "example.com",
        "secure": True,
        "http_only": True,
    }


def test_a_response_without_attributes() -> None:
    assert answered("a") == {"name": "", "value": "a", "secure": False, "http_only": False}


def test_each_header_is_a_cookie() -> None:
    headers = [("Set-Cookie", "a=1"), ("Cookie", "x=y"), ("SET-COOKIE", "b=2; SameSite=None")]
    assert [(it.name, it.same_site) for it in response_cookies(headers, NOW)] == [("a", None), ("b", "None")]


@pytest.mark.parametrize(
    ("attributes", "expires"),
    [
        ("Max-Age=10", "2026-01-01T00:00:10.123Z"),
        ("Max-Age=10; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "2026-01-01T00:00:10.123Z"),
        ("Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=x", "2026-10-21T07:28:00.000Z"),
        ("Max-Age=0", "1970-01-01T00:00:00.000Z"),
        ("Max-Age=-1", "1970-01-01T00:00:00.000Z"),
        ("Max-Age=99999999999999999999", "9999-12-31T23:59:59.999Z"),
        ("Max-Age=--1", None),
        ("Max-Age=٣", None),
        ("Expires=Thu, 01-Jan-1970 00:00:00 GMT", "1970-01-01T00:00:00.000Z"),
        ("Expires=Wednesday, 09-Nov-99 23:12:40 GMT", "1999-11-09T23:12:40.000Z"),
        ("Expires=Wed Jun  9 10:18:14 2021", "2021-06-09T10:18:14.000Z"),
        ("Expires=Wed, 21 Oct 99999999 07:28:00 GMT", None),
        ("Expires=soon", None),
        ("Expires", None),
    ],
)
def test_expiry(attributes: str, expires: str | None) -> None:
    assert answered(f"a=b; {attributes}").get("expires") == expires


@given(st.text() | st.text(";=, \t:-0123456789MaxAgeExpiresJanGMT", max_size=200))
def test_anything(value: str) -> None:
    cookies = [*request_cookies([("cookie", value)]), *response_cookies([("set-cookie", value)], NOW)]
    for cookie in cookies:
        assert cookie.name in value
        assert cookie.value in value
