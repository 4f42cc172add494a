"""tlstap plugin for Mbed TLS 2.28 and 3.x: declarations only. README.md says why no C is needed."""

from __future__ import annotations

from collections.abc import Sequence

import tlstap
from tlstap import BirthProbe, DataProbe, DetailProbe, FreeProbe, HandshakeProbe, LengthArgument, RoleProbe

tlstap.requires_contract(1)

MBEDTLS = tlstap.Library(
    name="mbedtls",
    title="Mbed TLS",
    recognise=tlstap.Recognise(symbols=("mbedtls_ssl_read", "mbedtls_ssl_write", "mbedtls_ssl_setup")),
    version=tlstap.VersionString(pattern=r"[Mm]bed TLS (\d+\.\d+\.\d+)", companion="libmbedcrypto"),
    sonames=("libmbedtls.so",),
    probes=(
        DataProbe(function="mbedtls_ssl_read", direction="read"),
        DataProbe(function="mbedtls_ssl_write", direction="write"),
        # Since 3.6.
        DataProbe(function="mbedtls_ssl_read_early_data", direction="read"),
        DataProbe(function="mbedtls_ssl_write_early_data", direction="write"),
        HandshakeProbe(function="mbedtls_ssl_handshake", success="zero"),
        # Internal, but between two source files, so that they have symbols. The last two are of TLS 1.3.
        RoleProbe(function="mbedtls_ssl_handshake_client_step", role="client"),
        RoleProbe(function="mbedtls_ssl_handshake_server_step", role="server"),
        RoleProbe(function="mbedtls_ssl_tls13_handshake_client_step", role="client"),
        RoleProbe(function="mbedtls_ssl_tls13_handshake_server_step", role="server"),
        # The context is the caller's memory: its address is the handle, and may be used again.
        BirthProbe(function="mbedtls_ssl_init", handle=1),
        BirthProbe(function="mbedtls_ssl_session_reset", handle=1),
        FreeProbe(function="mbedtls_ssl_free"),
        DetailProbe(function="mbedtls_ssl_set_hostname", details=("sni",), value=2),
        # The server's view of the client's wish, since 3.2: no NUL ends it.
        DetailProbe(
            function="mbedtls_ssl_get_hs_sni",
            details=("sni",),
            length=LengthArgument(argument=2, pointer=True),
        ),
        DetailProbe(function="mbedtls_ssl_get_alpn_protocol", details=("alpn",)),
        DetailProbe(function="mbedtls_ssl_get_version", details=("tls_version",)),
        DetailProbe(function="mbedtls_ssl_get_ciphersuite", details=("cipher",)),
    ),
)


@tlstap.hookimpl
def tlstap_libraries() -> Sequence[tlstap.Library]:
    return (MBEDTLS,)


@tlstap.hookimpl
def tlstap_describe(library: tlstap.Library, detail: str, value: bytes) -> str | None:
    # What mbedtls_ssl_get_version answers before the handshake.
    return "" if value == b"unknown" else None
