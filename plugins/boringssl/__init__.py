"""BoringSSL and AWS-LC, which came from it: linked into programs, and often stripped of every symbol.

Both export OpenSSL's names, without the _ex functions in BoringSSL. Where there are no symbols, `locate.py`
finds the functions that carry data by the errors that they report; the others are then left out, so that the
end of a connection shows only when its handle is used again, or with its process.
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
from tlstap.plugins.boringssl.locate import find
from tlstap.plugins.openssl.exported import EXPORTED, PLACEHOLDERS

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.location import Located

# OpenSSL's sources are C.
SOURCE = "ssl_lib.cc\0"
SYMBOLS = ("SSL_read", "SSL_write", "SSL_new")
# What signs a handshake of TLS 1.3 is text in every such library; the first name in libcrypto's list of
# reasons is in no other library's.
SIGNED_TEXT = "TLS 1.3, server CertificateVerify\0"
FIRST_REASON = "ASN1_LENGTH_MISMATCH\0"
AWS_LC = "AWS-LC"
S2N_SOURCE = "s2n_handshake_io.c"

PROBES: tuple[Probe, ...] = (
    *EXPORTED,
    DataProbe(function="SSL_read", locate=True, direction="read"),
    # Where the compiler has put SSL_read into its callers, what remains of it there is a call of SSL_peek.
    DataProbe(function="SSL_peek", locate=True, only_from=True, direction="read"),
    DataProbe(function="SSL_write", locate=True, direction="write"),
    HandshakeProbe(function="SSL_do_handshake", locate=True),
    # Part of them where the compiler has put it into them.
    HandshakeProbe(function="SSL_connect"),
    HandshakeProbe(function="SSL_accept"),
    BirthProbe(function="SSL_new", locate=True),
    BirthProbe(function="SSL_clear", handle=1),
    DetailProbe(function="SSL_set_tlsext_host_name", locate=True, details=("sni",), value=2),
    # struct ssl_cipher_st begins with OpenSSL's name; SSL_CIPHER_get_name would say AES256-SHA likewise.
    DetailProbe(function="SSL_get_current_cipher", details=("cipher",), value=0, pointer_offset=0),
)

# AWS-LC has these as well. They call SSL_read and SSL_write, which are then parts of them, or contain them.
EX_PROBES: tuple[Probe, ...] = (
    DataProbe(function="SSL_read_ex", direction="read", moved=OutPointer(argument=4), success="one"),
    DataProbe(function="SSL_write_ex", direction="write", moved=OutPointer(argument=4), success="one"),
)

BORINGSSL = Library(
    name="boringssl",
    title="BoringSSL",
    recognise=Recognise(symbols=SYMBOLS, strings=(SOURCE, FIRST_REASON), not_strings=(AWS_LC,)),
    embedded=Recognise(
        strings=(SOURCE, FIRST_REASON), every_string=(SIGNED_TEXT,), not_strings=(AWS_LC, S2N_SOURCE)
    ),
    probes=PROBES,
)

AWSLC = Library(
    name="aws-lc",
    title="AWS-LC",
    recognise=Recognise(symbols=SYMBOLS, strings=(SOURCE, FIRST_REASON), every_string=(AWS_LC,)),
    embedded=Recognise(every_string=(SOURCE, AWS_LC)),
    version=VersionString(pattern=r"AWS-LC (?:FIPS )?(\d+\.\d+\.\d+)"),
    probes=(*PROBES, *EX_PROBES),
)


@hookimpl
def tlstap_libraries() -> Sequence[Library]:
    return (BORINGSSL, AWSLC)


@hookimpl
def tlstap_locate(image: ElfImage, library: Library, function: str) -> Located | int:
    return find(image, function)


@hookimpl
def tlstap_describe(library: Library, detail: str, value: bytes) -> str | None:
    return "" if value in PLACEHOLDERS else None
