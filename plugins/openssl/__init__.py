"""OpenSSL 1.0.2 to 4.0, and LibreSSL, which exports the same functions.

The internal functions see every operation exactly once, also those of programs that use BIO_f_ssl and never
call the exported ones. They have no symbols in most builds and are found by `locate.py`; where they are not
found without doubt, the exported functions are probed instead. In a program that carries OpenSSL without any
symbols, `signature.py` finds what carries data, and SSL_new; the rest is then left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tlstap.hookspecs import hookimpl
from tlstap.library import (
    BirthProbe,
    DataProbe,
    DetailProbe,
    HandshakeProbe,
    Library,
    OutPointer,
    Probe,
    Recognise,
    VersionString,
)
from tlstap.plugins.openssl.exported import EXPORTED, PLACEHOLDERS
from tlstap.plugins.openssl.locate import locate
from tlstap.plugins.openssl.signature import READ, WRITE, WRITE_WITH_FLAGS

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.location import Located

# GnuTLS's wrapper for OpenSSL programs has all but the last.
SYMBOLS = ("SSL_read", "SSL_write", "SSL_new", "SSL_free", "SSL_ctrl")

# BoringSSL and AWS-LC, which export the same names, carry the paths of C++ sources.
BORINGSSL_SOURCE = "ssl_lib.cc\0"
# Those of before 2017 carry those of C sources, and OpenSSL's version.
BORINGSSL_VERSION = "(compatible; BoringSSL)"
# LibreSSL has this one too, but none of what 1.1.0 brought. The version as text is not in every program:
# from 3.0 on it comes with the function that tells it.
SOURCE = "ssl_lib.c\0"
OPENSSL_MARKS = ("statem_lib.c\0", "OpenSSL 1.0.")
LIBRESSL_VERSIONS = ("LibreSSL 2.", "LibreSSL 3.", "LibreSSL 4.")

# SSL_peek and SSL_peek_ex are no reads: their bytes come again with the next read. SSL_read_early_data and
# SSL_write_early_data go through SSL_read_ex and SSL_write_ex.
PROBES: tuple[Probe, ...] = (
    *EXPORTED,
    DataProbe(function=READ, locate=True, direction="read", moved=OutPointer(argument=4)),
    DataProbe(function="SSL_read", locate=True, unless=(READ,), direction="read"),
    DataProbe(
        function="SSL_read_ex",
        locate=True,
        unless=(READ,),
        direction="read",
        moved=OutPointer(argument=4),
        success="one",
    ),
    # OpenSSL 3.3 added a flags argument, together with SSL_write_ex2. Without symbols the code tells.
    DataProbe(
        function=WRITE,
        locate=True,
        unless=("SSL_write_ex2",),
        direction="write",
        moved=OutPointer(argument=4),
    ),
    DataProbe(
        function=WRITE,
        locate=True,
        when=("SSL_write_ex2",),
        direction="write",
        moved=OutPointer(argument=5),
    ),
    DataProbe(function=WRITE_WITH_FLAGS, locate=True, direction="write", moved=OutPointer(argument=5)),
    DataProbe(function="SSL_write", locate=True, unless=(WRITE, WRITE_WITH_FLAGS), direction="write"),
    DataProbe(
        function="SSL_write_ex",
        locate=True,
        unless=(WRITE, WRITE_WITH_FLAGS),
        direction="write",
        moved=OutPointer(argument=4),
        success="one",
    ),
    DataProbe(
        function="SSL_write_ex2",
        locate=True,
        unless=(WRITE, WRITE_WITH_FLAGS),
        direction="write",
        moved=OutPointer(argument=5),
        success="one",
    ),
    HandshakeProbe(function="SSL_do_handshake", locate=True),
    BirthProbe(function="SSL_new", locate=True),
    # The handshake clears a used SSL object before it begins anew.
    BirthProbe(function="SSL_clear", locate=True, handle=1),
    # SSL_set_tlsext_host_name is a macro for SSL_ctrl, which hands its arguments on to ssl3_ctrl.
    DetailProbe(function="SSL_ctrl", details=("sni",), value=4, condition="openssl_sets_server_name"),
    DetailProbe(
        function="ssl3_ctrl",
        locate=True,
        unless=("SSL_ctrl",),
        details=("sni",),
        value=4,
        condition="openssl_sets_server_name",
    ),
    # struct ssl_cipher_st begins with a 4-byte flag and the name's pointer in every version so far.
    DetailProbe(function="SSL_get_current_cipher", details=("cipher",), value=0, pointer_offset=8),
)

OPENSSL = Library(
    name="openssl",
    title="OpenSSL",
    recognise=Recognise(symbols=SYMBOLS, not_strings=(BORINGSSL_SOURCE, *LIBRESSL_VERSIONS)),
    embedded=Recognise(
        strings=OPENSSL_MARKS,
        every_string=(SOURCE,),
        not_strings=(BORINGSSL_SOURCE, BORINGSSL_VERSION, *LIBRESSL_VERSIONS),
    ),
    version=VersionString(pattern=r"OpenSSL (\d+\.\d+\.\d+[a-z]*)[-+ ]", companion="libcrypto.so"),
    sonames=("libssl.so",),
    probes=PROBES,
    snippet="openssl.h",
    locator_version=2,
)

LIBRESSL = Library(
    name="libressl",
    title="LibreSSL",
    recognise=Recognise(
        symbols=SYMBOLS,
        strings=LIBRESSL_VERSIONS,
        not_strings=(BORINGSSL_SOURCE,),
    ),
    embedded=Recognise(strings=LIBRESSL_VERSIONS, every_string=(SOURCE,), not_strings=(BORINGSSL_SOURCE,)),
    version=VersionString(pattern=r"LibreSSL (\d+\.\d+\.\d+)"),
    sonames=("libssl.so",),
    probes=PROBES,
    snippet="openssl.h",
    locator_version=2,
)


@hookimpl
def tlstap_libraries() -> Sequence[Library]:
    return (OPENSSL, LIBRESSL)


@hookimpl
def tlstap_locate(image: ElfImage, library: Library, function: str) -> Located | int | None:
    return locate(image, function, signatures=library.name == OPENSSL.name)


@hookimpl
def tlstap_describe(library: Library, detail: str, value: bytes) -> str | None:
    return "" if value in PLACEHOLDERS else None
