"""Functions that OpenSSL exports, and so do LibreSSL, BoringSSL and AWS-LC, with the same arguments."""

from __future__ import annotations

from tlstap.library import DetailProbe, FreeProbe, LengthArgument, Probe, ReferenceProbe, RoleProbe

PLACEHOLDERS = (b"unknown", b"(NONE)")
"""What they answer before the handshake."""

EXPORTED: tuple[Probe, ...] = (
    ReferenceProbe(function="SSL_up_ref"),
    FreeProbe(function="SSL_free"),
    RoleProbe(function="SSL_set_connect_state", role="client"),
    RoleProbe(function="SSL_set_accept_state", role="server"),
    DetailProbe(
        function="SSL_get0_alpn_selected",
        details=("alpn",),
        value=2,
        pointer_offset=0,
        length=LengthArgument(argument=3, pointer=True),
    ),
    DetailProbe(function="SSL_get_version", details=("tls_version",), value=0),
)
