"""The URL of a request: absolute, and valid by RFC 3986 whatever was sent."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qsl, quote

from tlstap.records import Message
from tlstap.schema import Endpoint
from tlstap.sinks.har.model import NameValue

NO_HOST = "unknown.invalid"
"""Stands for a host that nothing tells: RFC 2606 keeps this ending free."""
MAX_FORM = 64 * 1024
"""Characters of a query or form that is split into its parameters."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)\Z", re.DOTALL)
_PORT = re.compile("[0-9]{0,5}")
_BARE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_IN_HOST = "!$&'()*+,;=%"
_IN_USER = _IN_HOST + ":"
_IN_PATH = _IN_USER + "@/?"
_SOCKETS = {"https": "wss", "http": "ws"}


def url(request: Message, host: str, *, websocket: bool = False) -> str:
    """Scheme, authority and target together; what RFC 3986 does not allow is percent-encoded.

    :param host: takes the place of an authority that is not known.
    :param websocket: the scheme is ws or wss, as browsers write it.
    """
    scheme, authority, path = request.scheme or "https", request.authority or "", _path(request)
    absolute = _ABSOLUTE.match(path)
    if absolute is not None:
        scheme, authority, path = absolute[1], absolute[2], absolute[3]
    if not path.startswith("/"):
        path = f"/{path}"
    scheme = scheme.lower() if _SCHEME.match(scheme) else "https"
    if websocket:
        scheme = _SOCKETS.get(scheme, scheme)
    return f"{scheme}://{_authority(authority) or host}{_quote(path, _IN_PATH)}"


def known_host(sni: str | None, server: Endpoint | None) -> str:
    """For the URL of a request that names no host: the name of the TLS handshake, else the address."""
    if sni:
        return _authority(sni) or NO_HOST
    if server is not None and (address := bare_ip(server.address)):
        name = f"[{address}]" if ":" in address else address
        return name if server.port == 443 or not 0 <= server.port <= 65535 else f"{name}:{server.port}"
    return NO_HOST


def bare_ip(address: str) -> str | None:
    """An IP address without a zone; None if it is none."""
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return None


def parameters(text: str) -> tuple[NameValue, ...]:
    """The parameters of a query or a form, decoded; none if it is too long."""
    if len(text) > MAX_FORM:
        return ()
    return tuple(NameValue(name=name, value=value) for name, value in parse_qsl(text, keep_blank_values=True))


def query(address: str) -> tuple[NameValue, ...]:
    """The parameters in a URL's query."""
    return parameters(address.partition("?")[2])


def _path(request: Message) -> str:
    if request.target is None or (request.method == "CONNECT" and request.protocol is None):
        return ""
    return request.target


def _authority(authority: str) -> str:
    """The authority, or "" if it has no host."""
    user, at, rest = authority.rpartition("@")
    host, _, port = rest.rpartition(":")
    if not host or not _PORT.fullmatch(port):
        host, port = rest, ""
    literal = _ipv6(host[1:-1]) if host.startswith("[") and host.endswith("]") else None
    host = literal or _quote(host, _IN_HOST)
    if not host:
        return ""
    return f"{_quote(user, _IN_USER)}{at}{host}{f':{port}' if port else ''}"


def _ipv6(literal: str) -> str | None:
    try:
        return f"[{ipaddress.IPv6Address(literal)}]"
    except ValueError:
        return None


def _quote(text: str, allowed: str) -> str:
    return _BARE_PERCENT.sub("%25", quote(text, safe=allowed, errors="surrogatepass"))
