"""OpenSSL, LibreSSL and BoringSSL export the same names; what else a file contains tells them apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.plugins.test_openssl_locate import NOINLINE, READ, WRITE, build

from tlstap.discovery.analysis import analyse
from tlstap.discovery.elf import ElfImage
from tlstap.registry import Registry

FUNCTIONS = """
    void *SSL_new(void *ctx) { return ctx; }
    void SSL_free(void *s) { error((long)s); }
    void error(int x) {}
    int transport(void *s, void *b, size_t n, size_t *m, long k) { return *m = n, k; }
"""
CTRL = "long SSL_ctrl(void *s, int command, long value, void *pointer) { return value; }"


def nothing_beside(name: str) -> int:
    raise FileNotFoundError(name)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (CTRL + 'const char text[] = "OpenSSL 3.0.19 27 Jan 2026";', [("openssl", "3.0.19")]),
        (CTRL + 'const char text[] = "OpenSSL 1.1.1w  11 Sep 2023";', [("openssl", "1.1.1w")]),
        (CTRL, [("openssl", None)]),
        (CTRL + 'const char text[] = "LibreSSL 3.8.2";', [("libressl", "3.8.2")]),
        (CTRL + 'const char text[] = "LibreSSL 4.1.0";', [("libressl", "4.1.0")]),
        (CTRL + 'const char text[] = "built for LibreSSL or OpenSSL";', [("openssl", None)]),
        (
            CTRL + 'const char text[] = "../../third_party/boringssl/src/ssl/ssl_lib.cc";',
            [("boringssl", None)],
        ),
        ("", []),  # GnuTLS's wrapper for OpenSSL programs has no SSL_ctrl
    ],
)
def test_who_it_is(tmp_path: Path, code: str, expected: list[tuple[str, str | None]]) -> None:
    library, _ = build(tmp_path, READ + WRITE + FUNCTIONS + code, NOINLINE, "-Wl,--build-id")
    registry = Registry.load()
    with ElfImage.open(str(library)) as image:
        report = analyse(image, registry.libraries.values(), registry.locate, nothing_beside)
    assert [(found.name, found.version) for found in report.libraries] == expected


SOURCE = 'const char source[] = "../ssl/ssl_lib.c";'
MARKS = SOURCE + 'const char other[] = "ssl/statem/statem_lib.c";'


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (MARKS, [("openssl", None)]),
        (MARKS + 'const char text[] = "OpenSSL 3.5.4 30 Sep 2025";', [("openssl", "3.5.4")]),
        (MARKS + 'const char text[] = "OpenSSL 1.1.1v+quic  1 Aug 2023";', [("openssl", "1.1.1v")]),
        (MARKS + 'const char text[] = "openSSLIsBoringSSL";', [("openssl", None)]),
        (SOURCE + 'const char text[] = "OpenSSL 1.0.2r  26 Feb 2019";', [("openssl", "1.0.2r")]),
        (SOURCE + 'const char text[] = "LibreSSL 3.8.2";', [("libressl", "3.8.2")]),
        # Before 2017.
        (SOURCE + 'const char text[] = "OpenSSL 1.0.2 (compatible; BoringSSL)";', []),
        (SOURCE, []),
        ('const char text[] = "OpenSSL 3.0.19 27 Jan 2026";', []),
        ('const char text[] = "statem_lib.c";', []),
        (MARKS.replace('lib.c"', 'lib.cc"'), []),
    ],
)
def test_who_it_is_without_symbols(tmp_path: Path, code: str, expected: list[tuple[str, str | None]]) -> None:
    library, _ = build(tmp_path, "int unrelated(int x) { return x; }" + code, NOINLINE, "-Wl,--build-id")
    registry = Registry.load()
    with ElfImage.open(str(library)) as image:
        report = analyse(image, registry.libraries.values(), registry.locate, nothing_beside)
    ours = [found for found in report.libraries if found.name in ("openssl", "libressl")]
    assert [(found.name, found.version) for found in ours] == expected
    assert [found.functions for found in ours] == [()] * len(ours)
