"""Which TLS code a file without symbols carries: several marks together tell, never a name alone."""

from __future__ import annotations

import pytest
from tests.unit.discovery.elves import elf_image

from tlstap.discovery.recognise import find_version, recognise
from tlstap.registry import Registry

BORINGSSL = b"../../third_party/boringssl/src/ssl/ssl_lib.cc\0"
OPENSSL = b"../deps/openssl/openssl/ssl/ssl_lib.c\0../deps/openssl/openssl/ssl/statem/statem_lib.c\0"
SIGNED = b"TLS 1.3, server CertificateVerify\0"
REASONS = b"ASN1_LENGTH_MISMATCH\0AUX_ERROR\0"
RUSTLS = b"/root/.cargo/registry/src/index/rustls-0.23.44/src/conn.rs\0tls13 \0"


def nothing_beside(name: str) -> int:
    raise FileNotFoundError(name)


@pytest.mark.parametrize(
    ("texts", "libraries", "unsupported"),
    [
        (BORINGSSL + SIGNED, [("boringssl", None)], ()),
        (REASONS + SIGNED, [("boringssl", None)], ()),
        (BORINGSSL + SIGNED + b"AWS-LC 1.40.0\0", [("aws-lc", "1.40.0")], ()),
        (BORINGSSL + SIGNED + b"AWS-LC FIPS\0AWS-LC FIPS 3.0.1\0", [("aws-lc", "3.0.1")], ()),
        (OPENSSL + b"OpenSSL 3.5.9 29 Sep 2026\0" + SIGNED, [("openssl", "3.5.9")], ()),
        (OPENSSL + b"OpenSSL 4.0.1 9 Jun 2026\0" + SIGNED, [("openssl", "4.0.1")], ()),
        (OPENSSL + b"LibreSSL 4.1.0\0" + SIGNED, [("libressl", "4.1.0")], ()),
        # The names alone: in a message, a method, another file of libcrypto.
        (b"BoringSSL\0An unknown BoringSSL error occurred\0openSSLIsBoringSSL\0", [], ()),
        (b"enable OpenSSL 3.0 legacy provider\0OpenSSL\0", [], ()),
        (OPENSSL + SIGNED, [("openssl", None)], ()),
        (b"OpenSSL 3.5.9 29 Sep 2026\0crypto/err/err_lib.c\0", [], ()),
        (b"LibreSSL 4.1.0\0", [], ()),
        (b"infallible AWS-LC function\0AWS-LC KEM method\0", [], ()),
        (REASONS, [], ()),
        (b"my_ssl_lib.cpp\0ssl_lib.ccx\0" + SIGNED, [], ()),
        # What is only told of.
        (RUSTLS + SIGNED, [], ("rustls",)),
        (RUSTLS + SIGNED + b"AWS-LC KEM method\0" + REASONS, [], ("rustls",)),
        (b"Error encountered in /src/s2n/tls/s2n_handshake_io.c:59\0" + SIGNED + REASONS, [], ("s2n",)),
        (b"crypto/tls.(*Conn).Read\0", [], ("go",)),
        (b"rustls-\0go\0s2n\0", [], ()),
        # Two in one file.
        (BORINGSSL + SIGNED + RUSTLS, [("boringssl", None)], ("rustls",)),
        (b"nothing of the kind\0", [], ()),
    ],
)
def test_what_is_recognised(
    texts: bytes, libraries: list[tuple[str, str | None]], unsupported: tuple[str, ...]
) -> None:
    known = Registry.load(third_party=()).libraries.values()
    with elf_image(b"\xc3" * 16, data=b"\0" + texts) as image:
        found, others = recognise(image, known)
        assert [(one.name, find_version(image, one, nothing_beside)) for one in found] == libraries
        assert others == unsupported


@pytest.mark.parametrize(
    ("left_out", "texts", "expected"),
    [
        ("boringssl", BORINGSSL + SIGNED, ("boringssl",)),
        ("boringssl", BORINGSSL + SIGNED + b"AWS-LC 1.40.0\0", ("aws-lc",)),
    ],
)
def test_without_its_plugin_it_is_only_told_of(
    left_out: str, texts: bytes, expected: tuple[str, ...]
) -> None:
    known = Registry.load([left_out], third_party=()).libraries.values()
    with elf_image(b"\xc3" * 16, data=b"\0" + texts) as image:
        assert recognise(image, known) == ([], expected)
