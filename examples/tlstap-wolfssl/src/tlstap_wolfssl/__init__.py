"""tlstap plugin for wolfSSL 5: declarations, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import tlstap
from tlstap import BirthProbe, DataProbe, DetailProbe, FreeProbe, HandshakeProbe, OutPointer, RoleProbe

tlstap.requires_contract(1)

CLIENT = ("wolfSSL_connect", "wolfSSL_connect_TLSv13")
SERVER = ("wolfSSL_accept", "wolfSSL_accept_TLSv13")

WOLFSSL = tlstap.Library(
    name="wolfssl",
    title="wolfSSL",
    recognise=tlstap.Recognise(symbols=("wolfSSL_read", "wolfSSL_write", "wolfSSL_new")),
    version=tlstap.VersionString(pattern=r"wolfSSL (\d+\.\d+\.\d+)"),
    sonames=("libwolfssl.so",),
    probes=(
        # wolfSSL_recv, wolfSSL_send, wolfSSL_writev and wolfSSL_BIO_read and _write go through these two.
        DataProbe(function="wolfSSL_read", direction="read"),
        DataProbe(function="wolfSSL_write", direction="write"),
        # Since 5.8. They don't.
        DataProbe(function="wolfSSL_read_ex", direction="read", moved=OutPointer(argument=4), success="one"),
        DataProbe(
            function="wolfSSL_write_ex", direction="write", moved=OutPointer(argument=4), success="one"
        ),
        # Only in libraries that are built with early data.
        DataProbe(function="wolfSSL_read_early_data", direction="read"),
        DataProbe(function="wolfSSL_write_early_data", direction="write"),
        # What else performs a handshake, as the first read may, calls one of them.
        *(HandshakeProbe(function=function) for function in (*CLIENT, *SERVER)),
        *(RoleProbe(function=function, role="client") for function in CLIENT),
        *(RoleProbe(function=function, role="server") for function in SERVER),
        BirthProbe(function="wolfSSL_new"),
        BirthProbe(function="wolfSSL_clear", handle=1),
        FreeProbe(function="wolfSSL_free"),
        # wolfSSL_set_tlsext_host_name calls it. A server asks what the client has sent, and gets a pointer.
        DetailProbe(function="wolfSSL_UseSNI", details=("sni",), value=3),
        DetailProbe(function="wolfSSL_SNI_GetRequest", details=("sni",), value=3, pointer_offset=0),
        DetailProbe(function="wolfSSL_ALPN_GetProtocol", details=("alpn",), value=2, pointer_offset=0),
        DetailProbe(function="wolfSSL_get_version", details=("tls_version",)),
        DetailProbe(function="wolfSSL_get_cipher_name", details=("cipher",)),
    ),
)


@tlstap.hookimpl
def tlstap_libraries() -> Sequence[tlstap.Library]:
    return (WOLFSSL,)
