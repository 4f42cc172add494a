"""URLs of a HAR document: absolute and valid whatever was sent."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rfc3986_validator import validate_rfc3986
from tests.support.samples import connection, exchange, request

from tlstap.records import ExchangeEnded, Message
from tlstap.schema import Endpoint
from tlstap.sinks.har.entry import entry
from tlstap.sinks.har.url import NO_HOST, known_host, parameters, url


def shown(*, websocket: bool = False, host: str = NO_HOST, **changes: object) -> str:
    return url(request(**changes), host, websocket=websocket)


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("/", "https://example.com/"),
        ("/a/b?x=1&y", "https://example.com/a/b?x=1&y"),
        ("//evil.example/x", "https://example.com//evil.example/x"),
        ("/a?u=https://b/?c#d", "https://example.com/a?u=https://b/?c%23d"),
        ('/[x]|{y}^`\\"<>', "https://example.com/%5Bx%5D%7C%7By%7D%5E%60%5C%22%3C%3E"),
        ("/ü %41 100%", "https://example.com/%C3%BC%20%41%20100%25"),
        ("/%zz%4", "https://example.com/%25zz%254"),
        ("/\udc80\0", "https://example.com/%ED%B2%80%00"),
        ("*", "https://example.com/*"),
        ("", "https://example.com/"),
        ("?a", "https://example.com/?a"),
        ("index", "https://example.com/index"),
        ("http://other.example:8080/x?y", "http://other.example:8080/x?y"),
        ("HTTPS://other.example", "https://other.example/"),
        ("ftp://u:p@[::1]:21/f", "ftp://u:p@[::1]:21/f"),
        (None, "https://example.com/"),
    ],
)
def test_targets(target: str | None, meant: str) -> None:
    assert shown(target=target) == meant


@pytest.mark.parametrize(
    ("authority", "meant"),
    [
        ("example.com:443", "example.com:443"),
        ("example.com:", "example.com"),
        ("a:b", "a%3Ab"),
        ("a:123456", "a%3A123456"),
        ("a b", "a%20b"),
        ("münchen.example", "m%C3%BCnchen.example"),
        ("[2001:DB8::1]:8443", "[2001:db8::1]:8443"),
        ("[::1]", "[::1]"),
        ("[x]:1", "%5Bx%5D:1"),
        ("[::1", "%5B%3A:1"),
        ("user:pass word@h", "user:pass%20word@h"),
        ("a@b@c", "a%40b@c"),
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("", NO_HOST),
        (":80", "%3A80"),
        (None, NO_HOST),
    ],
)
def test_authorities(authority: str | None, meant: str) -> None:
    assert shown(authority=authority) == f"https://{meant}/index.html"


def test_connect() -> None:
    it = request(method="CONNECT", authority="proxied.example:443", target="proxied.example:443")
    assert url(it, NO_HOST) == "https://proxied.example:443/"


def test_a_websocket() -> None:
    assert shown(websocket=True) == "wss://example.com/index.html"
    assert shown(websocket=True, scheme="http") == "ws://example.com/index.html"
    assert shown(websocket=True, method="CONNECT", protocol="websocket") == "wss://example.com/index.html"


@pytest.mark.parametrize("scheme", [None, "", "1x", "a b", "java\nscript"])
def test_a_scheme_that_is_none(scheme: str | None) -> None:
    assert shown(scheme=scheme) == "https://example.com/index.html"


@pytest.mark.parametrize(
    ("sni", "server", "meant"),
    [
        ("example.com", Endpoint(address="192.0.2.1", port=443), "example.com"),
        (None, Endpoint(address="192.0.2.1", port=443), "192.0.2.1"),
        (None, Endpoint(address="2001:db8::7", port=8443), "[2001:db8::7]:8443"),
        ("", Endpoint(address="fe80::1%eth0", port=443), "[fe80::1]"),
        (None, Endpoint(address="nonsense", port=443), NO_HOST),
        ("a b", None, "a%20b"),
        (None, None, NO_HOST),
    ],
)
def test_the_host_of_a_request_that_names_none(sni: str | None, server: Endpoint | None, meant: str) -> None:
    assert known_host(sni, server) == meant


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/a?b=c", None),
        ("/a b", "/a b"),
        ("*", None),
        ("https://example.com/a", None),
        ("https://example.com", "https://example.com"),
    ],
)
def test_the_target_is_kept_where_the_url_does_not_end_in_it(target: str, kept: str | None) -> None:
    it = exchange(connection(), request=request(target=target))
    assert entry(ExchangeEnded(it, 1, True), None).request.target == kept


def test_a_query_that_is_endless_is_not_taken_apart() -> None:
    assert [(it.name, it.value) for it in parameters("a=1&b&=&%ff=%E2%82%AC")] == [
        ("a", "1"),
        ("b", ""),
        ("", ""),
        ("\ufffd", "€"),
    ]
    assert parameters("a&" * 40_000) == ()


@given(
    scheme=st.none() | st.text(),
    authority=st.none() | st.text() | st.text("[]:@.%/0123a"),
    target=st.none() | st.text() | st.text("%/?#[]:@ a0"),
    method=st.sampled_from(["GET", "CONNECT"]),
    sni=st.none() | st.text(),
)
def test_any_url_is_valid(
    scheme: str | None, authority: str | None, target: str | None, method: str, sni: str | None
) -> None:
    it = Message(True, method, scheme, authority, target)
    address = url(it, known_host(sni, None))
    assert validate_rfc3986(address)
    parts = urlsplit(address)
    assert parts.hostname
    assert parts.path.startswith("/")
