"""The GnuTLS plugin, for GnuTLS 3.x. All functions that matter are exported."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tlstap.hookspecs import hookimpl
from tlstap.library import (
    BirthProbe,
    ContentProbe,
    DataProbe,
    DetailProbe,
    FlushProbe,
    FreeProbe,
    HandshakeProbe,
    LengthArgument,
    LengthOffset,
    Library,
    PacketProbe,
    Probe,
    Recognise,
    VersionString,
)

# GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED: the record is made, but the transport did not take all of it.
UNFINISHED = (-28, -52)

# gnutls_protocol_t, named as other libraries do.
VERSIONS = {
    1: "SSLv3",
    2: "TLSv1",
    3: "TLSv1.1",
    4: "TLSv1.2",
    5: "TLSv1.3",
    200: "DTLSv0.9",
    201: "DTLSv1",
    202: "DTLSv1.2",
}
# "(TLS1.3)-(ECDHE-X25519)-(RSA-PSS-RSAE-SHA256)-(AES-256-GCM)", with more in the first pair in old versions
SESSION_DESCRIPTION = re.compile(r"\((D?TLS|SSL)(\d[.\d]*)[^)]*\)-(.+)", re.ASCII)

PROBES: tuple[Probe, ...] = (
    # gnutls_record_send is a jump to gnutls_record_send2, which 3.6.3 brought. gnutls_record_send_file calls
    # them. What they take while the session is corked counts as sent; gnutls_record_uncork sends it again.
    DataProbe(
        function="gnutls_record_send2",
        fallbacks=("gnutls_record_send",),
        direction="write",
        pending=UNFINISHED,
    ),
    # gnutls_record_send_early_data only stores: gnutls_handshake sends it, with gnutls_record_send.
    FlushProbe(function="gnutls_record_uncork"),
    FlushProbe(function="gnutls_bye"),
    # This one finishes what it began itself.
    DataProbe(function="gnutls_record_send_range", direction="write"),
    DataProbe(function="gnutls_record_recv", direction="read"),
    DataProbe(function="gnutls_record_recv_seq", direction="read"),
    DataProbe(function="gnutls_record_recv_early_data", direction="read"),
    PacketProbe(function="gnutls_record_recv_packet"),
    ContentProbe(function="gnutls_packet_get"),
    HandshakeProbe(function="gnutls_handshake", success="zero"),
    BirthProbe(function="gnutls_init", out_pointer=1, role="client", condition="gnutls_inits_client"),
    BirthProbe(function="gnutls_init", out_pointer=1, role="server", condition="gnutls_inits_server"),
    FreeProbe(function="gnutls_deinit"),
    DetailProbe(
        function="gnutls_server_name_set", details=("sni",), value=3, length=LengthArgument(argument=4)
    ),
    # gnutls_datum_t: a pointer and an unsigned int.
    DetailProbe(
        function="gnutls_alpn_get_selected_protocol",
        details=("alpn",),
        value=2,
        pointer_offset=0,
        length=LengthOffset(offset=8),
        success="zero",
    ),
    DetailProbe(function="gnutls_protocol_get_version", details=("tls_version",), number=True),
    DetailProbe(function="gnutls_session_get_desc", details=("tls_version", "cipher")),
    DetailProbe(function="gnutls_ciphersuite_get", details=("cipher",)),
)

GNUTLS = Library(
    name="gnutls",
    title="GnuTLS",
    recognise=Recognise(symbols=("gnutls_record_send", "gnutls_record_recv", "gnutls_init")),
    version=VersionString(pattern=r"Enabled GnuTLS (\d+\.\d+\.\d+[a-z0-9]*) logging"),
    sonames=("libgnutls.so",),
    probes=PROBES,
    snippet="gnutls.h",
)


@hookimpl
def tlstap_libraries() -> Sequence[Library]:
    return (GNUTLS,)


@hookimpl
def tlstap_describe(library: Library, detail: str, value: bytes) -> str | None:
    if detail == "tls_version" and len(value) == 4:
        return VERSIONS.get(int.from_bytes(value, "little"), "")
    description = SESSION_DESCRIPTION.match(value.decode("ascii", "replace"))
    if description and detail in ("tls_version", "cipher"):
        name, version, rest = description.groups()
        return f"{name}v{version.removesuffix('.0')}" if detail == "tls_version" else rest
    return None
