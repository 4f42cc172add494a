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
        (CTRL + 'const char text[] = "../../third_party/boringssl/src/ssl/ssl_lib.cc";', []),
        ("", []),  # GnuTLS's wrapper for OpenSSL programs has no SSL_ctrl
    ],
)
def test_who_it_is(tmp_path: Path, code: str, expected: list[tuple[str, str | None]]) -> None:
    library, _ = build(tmp_path, READ + WRITE + FUNCTIONS + code, NOINLINE, "-Wl,--build-id")
    registry = Registry.load()
    with ElfImage.open(str(library)) as image:
        report = analyse(image, registry.libraries.values(), registry.locate, nothing_beside)
    assert [(found.name, found.version) for found in report.libraries] == expected
