"""The NSS plugin: Firefox, Thunderbird and whatever else links with libssl3.

NSS is driven through NSPR's PR_Read and PR_Write, which carry every file and pipe of the process as well. So
the probes are on the functions of the TLS layer, which are static and located (`locate`). Where they can't be
found, NSPR's own functions stand in, for descriptors that have a TLS layer only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tlstap.hookspecs import hookimpl
from tlstap.library import (
    BirthProbe,
    DataProbe,
    DetailProbe,
    FixedLength,
    FreeProbe,
    HandshakeProbe,
    LengthArgument,
    Library,
    Probe,
    Recognise,
    RoleProbe,
    VersionString,
)
from tlstap.plugins.nss.locate import locate

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
CHANNEL_INFO = struct.Struct("<IHH")
"""How struct SSLChannelInfoStr of sslt.h begins: its length, the version, the cipher suite."""

LAYER = "nss_layer"
KNOWN_LAYER = "nss_known_layer"
TLS_LAYER = "nss_tls_layer"
READ, WRITE, RECV, SEND, CLOSE = "ssl_Read", "ssl_Write", "ssl_Recv", "ssl_Send", "ssl_Close"

# ssl_WriteV calls ssl_Send, or a part of it that the compiler has put into it.
PROBES: tuple[Probe, ...] = (
    DataProbe(function=READ, locate=True, direction="read", identify=LAYER),
    DataProbe(function=RECV, locate=True, direction="read", identify=LAYER, condition="nss_consumes"),
    DataProbe(function=WRITE, locate=True, direction="write", identify=LAYER),
    DataProbe(function=SEND, locate=True, direction="write", identify=LAYER),
    DataProbe(function="ssl_WriteV", locate=True, direction="write", identify=LAYER, vector=True),
    BirthProbe(function="ssl_Accept", locate=True, role="server", identify=LAYER),
    FreeProbe(function=CLOSE, locate=True, identify=LAYER),
    *(
        probe
        for function in ("SSL_ImportFD", "DTLS_ImportFD")
        for probe in (
            BirthProbe(function=function, when=(READ,), identify=LAYER),
            BirthProbe(function=function, unless=(READ,), identify="nss_learn_layer"),
        )
    ),
    HandshakeProbe(function="SSL_ForceHandshake", success="zero", identify=KNOWN_LAYER),
    *(
        RoleProbe(function=function, role=role, identify=KNOWN_LAYER, condition=condition)
        for function, role, condition in (
            ("SSL_OptionSet", "client", "nss_becomes_client"),
            ("SSL_OptionSet", "server", "nss_becomes_server"),
            ("SSL_ResetHandshake", "client", "nss_resets_client"),
            ("SSL_ResetHandshake", "server", "nss_resets_server"),
        )
    ),
    DetailProbe(function="SSL_SetURL", details=("sni",), value=2, identify=KNOWN_LAYER),
    DetailProbe(
        function="SSL_GetNextProto",
        details=("alpn",),
        value=3,
        length=LengthArgument(argument=4, pointer=True),
        success="zero",
        identify=KNOWN_LAYER,
    ),
    DetailProbe(
        function="SSL_GetChannelInfo",
        details=("tls_version", "cipher"),
        value=2,
        length=FixedLength(size=CHANNEL_INFO.size),
        success="zero",
        identify=KNOWN_LAYER,
    ),
)

NSS = Library(
    name="nss",
    title="NSS",
    recognise=Recognise(symbols=("SSL_ImportFD", "SSL_ForceHandshake")),
    version=VersionString(pattern=r"Version: NSS (\d+\.\d+(?:\.\d+)*)"),
    sonames=("libssl3.so",),
    probes=PROBES,
    snippet="nss.h",
)

NSPR = Library(
    name="nspr",
    title="NSPR's PR_Read and PR_Write",
    recognise=Recognise(symbols=("PR_Read", "PR_Write", "PR_GetDefaultIOMethods")),
    sonames=("libnspr4.so",),
    probes=(
        DataProbe(function="PR_Read", direction="read", identify=TLS_LAYER),
        DataProbe(function="PR_Recv", direction="read", identify=TLS_LAYER, condition="nss_consumes"),
        DataProbe(function="PR_Write", direction="write", identify=TLS_LAYER),
        DataProbe(function="PR_Send", direction="write", identify=TLS_LAYER),
        DataProbe(function="PR_Writev", direction="write", identify=TLS_LAYER, vector=True),
        FreeProbe(function="PR_Close", identify=TLS_LAYER),
    ),
    snippet="nss.h",
    stands_in_for="nss",
)


@hookimpl
def tlstap_libraries() -> Sequence[Library]:
    return (NSS, NSPR)


@hookimpl
def tlstap_locate(image: ElfImage, library: Library, function: str) -> int | None:
    return locate(image, function)


@hookimpl
def tlstap_describe(library: Library, detail: str, value: bytes) -> str | None:
    if detail == "sni":
        return "" if _is_address(value) else None
    if len(value) != CHANNEL_INFO.size or detail not in ("tls_version", "cipher"):
        return None
    _, version, suite = CHANNEL_INFO.unpack(value)
    if detail == "tls_version":
        return VERSIONS.get(version, "")
    return _cipher_suites().get(suite, f"0x{suite:04X}") if suite else ""


def _is_address(host: bytes) -> bool:
    """NSS sends no server name for such."""
    try:
        ip_address(host.decode("ascii", "replace"))
    except ValueError:
        return False
    return True


@cache
def _cipher_suites() -> dict[int, str]:
    """Names of cipher suites by their number, as OpenSSL has them, so that all libraries' names are alike."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return {cipher["id"] & 0xFFFF: cipher["name"] for cipher in context.get_ciphers()}
