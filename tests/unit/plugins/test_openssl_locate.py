"""The locator, on small libraries that are shaped like OpenSSL's libssl."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tlstap.discovery.elf import ElfImage
from tlstap.errors import NotLocatedError
from tlstap.plugins.openssl.locate import locate

READ = """
    typedef unsigned long size_t;
    extern void error(int);
    extern int transport(void *, void *, size_t, size_t *, long);
    INTERNAL int ssl_read_internal(void *s, void *buf, size_t num, size_t *readbytes) {
        if (!s) { error(1); return -1; }
        return transport(s, buf, num, readbytes, 1);
    }
    int SSL_read(void *s, void *buf, int num) {
        size_t n; int ret;
        if (num < 0) { error(2); return -1; }
        ret = ssl_read_internal(s, buf, num, &n);
        return ret > 0 ? (int)n : ret;
    }
    int SSL_read_ex(void *s, void *buf, size_t num, size_t *readbytes) {
        int ret = ssl_read_internal(s, buf, num, readbytes);
        return ret > 0 ? 1 : ret;
    }
"""

WRITE = """
    INTERNAL int ssl_write_internal(void *s, void *buf, size_t num, size_t *written) {
        if (!s) { error(3); return -1; }
        return transport(s, buf, num, written, 2);
    }
    int SSL_write(void *s, void *buf, int num) {
        size_t n; int ret;
        if (num < 0) { error(4); return -1; }
        ret = ssl_write_internal(s, buf, num, &n);
        return ret > 0 ? (int)n : ret;
    }
    int SSL_write_ex(void *s, void *buf, size_t num, size_t *written) {
        int ret = ssl_write_internal(s, buf, num, written);
        return ret > 0 ? 1 : ret;
    }
"""

WRITE_WITH_FLAGS = """
    INTERNAL int ssl_write_internal(void *s, void *buf, size_t num, long flags, size_t *written) {
        if (!s) { error(3); return -1; }
        return transport(s, buf, num, written, flags);
    }
    int SSL_write(void *s, void *buf, int num) {
        size_t n; int ret;
        if (num < 0) { error(4); return -1; }
        ret = ssl_write_internal(s, buf, num, 0, &n);
        return ret > 0 ? (int)n : ret;
    }
    int SSL_write_ex2(void *s, void *buf, size_t num, long flags, size_t *written) {
        int ret = ssl_write_internal(s, buf, num, flags, written);
        return ret > 0 ? 1 : ret;
    }
    int SSL_write_ex(void *s, void *buf, size_t num, size_t *written) {
        return SSL_write_ex2(s, buf, num, 0, written);
    }
"""

NOINLINE = "-DINTERNAL=static __attribute__((noinline,noclone))"


def build(folder: Path, source: str, internal: str, *options: str, strip: bool = True) -> tuple[Path, Path]:
    """The library, stripped or not, and the same with symbols."""
    (folder / "ssl.c").write_text(source)
    symbols, library = folder / "libssl.debug", folder / "libssl.so.3"
    command = ["gcc", "-O2", "-shared", "-fPIC", "-nostdlib", internal, *options]
    subprocess.run([*command, "-o", symbols, folder / "ssl.c"], check=True)
    subprocess.run(["strip", *([] if strip else ["--strip-debug"]), "-o", library, symbols], check=True)
    return library, symbols


def address_of(symbols: Path, name: str) -> int:
    with symbols.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        (symbol,) = table.get_symbol_by_name(name)
        return int(symbol["st_value"])


CODE_OPTIONS = {"x86_64": "-fcf-protection=full", "aarch64": "-mbranch-protection=standard"}


@pytest.mark.parametrize("write", [WRITE, WRITE_WITH_FLAGS])
@pytest.mark.parametrize("options", [(), (CODE_OPTIONS[platform.machine()],), ("-fno-plt",), ("-Os",)])
@pytest.mark.parametrize("strip", [True, False])
def test_finds_the_internal_functions(
    tmp_path: Path, write: str, options: tuple[str, ...], strip: bool
) -> None:
    library, symbols = build(tmp_path, READ + write, NOINLINE, *options, strip=strip)
    with ElfImage.open(str(library)) as image:
        for name in ("ssl_read_internal", "ssl_write_internal"):
            assert (name in image.symbols([name])) is not strip
            assert locate(image, name) == address_of(symbols, name)


def refused(image: ElfImage, function: str) -> str:
    with pytest.raises(NotLocatedError) as caught:
        locate(image, function)
    return str(caught.value)


def test_other_functions_have_symbols_or_are_not_there(tmp_path: Path) -> None:
    library, symbols = build(tmp_path, READ + WRITE, NOINLINE)
    with ElfImage.open(str(library)) as image:
        assert locate(image, "SSL_read") == address_of(symbols, "SSL_read")
        assert refused(image, "SSL_write_ex2") == refused(image, "SSL_new") == "no symbol"


@pytest.mark.parametrize("strip", [True, False])
def test_refuses_what_was_inlined(tmp_path: Path, strip: bool) -> None:
    """Both functions then share a helper; a symbol, if any, is that of a copy that they don't call."""
    helper = """
        static __attribute__((noinline)) int
        helper(void *s, void *b, unsigned long n, unsigned long *m, long k) {
            return transport(s, b, n, m, k) * 3;
        }
    """
    source = (READ + WRITE).replace("return transport(", "return helper(")
    source = source.replace("INTERNAL int ssl_read", helper + "INTERNAL int ssl_read", 1)
    keep = "int (*keep[])() = {(int (*)())ssl_read_internal, (int (*)())ssl_write_internal};"
    internal = "-DINTERNAL=static inline __attribute__((always_inline))"
    library, symbols = build(tmp_path, source + keep, internal, strip=strip)
    helper_address = address_of(symbols, "helper")
    with ElfImage.open(str(library)) as image:
        for name in ("ssl_read_internal", "ssl_write_internal"):
            assert (name in image.symbols([name])) is not strip
            reason = refused(image, name)
            assert ("call 0 functions" if not strip else "not with the arguments") in reason
    assert helper_address


def test_refuses_two_candidates(tmp_path: Path) -> None:
    second = "INTERNAL void second(void *s) { error((long)s); } INTERNAL"
    source = READ.replace("INTERNAL", second, 1).replace("return ret", "second(s); return ret")
    library, _ = build(tmp_path, source + WRITE, NOINLINE)
    with ElfImage.open(str(library)) as image:
        assert "call 2 functions" in refused(image, "ssl_read_internal")


@pytest.mark.parametrize("strip", [True, False])
def test_refuses_arguments_that_are_not_handed_on(tmp_path: Path, strip: bool) -> None:
    source = READ.replace(
        "ssl_read_internal(s, buf, num, readbytes);", "ssl_read_internal(buf, s, num, readbytes);"
    )
    library, _ = build(tmp_path, source + WRITE, NOINLINE, strip=strip)
    with ElfImage.open(str(library)) as image:
        assert "not with the arguments" in refused(image, "ssl_read_internal")


def test_refuses_flags_that_no_name_tells_of(tmp_path: Path) -> None:
    """A linker may leave out SSL_write_ex2, once it was inlined into SSL_write_ex."""
    source = READ + WRITE_WITH_FLAGS.replace("int SSL_write_ex2", "static inline int SSL_write_ex2")
    library, _ = build(tmp_path, source, NOINLINE, strip=False)
    with ElfImage.open(str(library)) as image:
        assert "ssl_write_internal" in image.symbols(["ssl_write_internal"])
        assert "not with the arguments of SSL_write_ex" in refused(image, "ssl_write_internal")


def test_an_exported_function_is_no_candidate(tmp_path: Path) -> None:
    library, _ = build(tmp_path, READ + WRITE, '-DINTERNAL=__attribute__((noinline,visibility("protected")))')
    with ElfImage.open(str(library)) as image:
        address = locate(image, "ssl_read_internal")
        assert address == image.symbols(["ssl_read_internal"])["ssl_read_internal"].address


def test_needs_both_functions(tmp_path: Path) -> None:
    library, _ = build(tmp_path, READ + WRITE, NOINLINE, "-DSSL_read_ex=other", "-DSSL_write_ex=another")
    with ElfImage.open(str(library)) as image:
        assert "no symbols of SSL_read and SSL_read_ex" in refused(image, "ssl_read_internal")
        assert "no symbols of SSL_write and SSL_write_ex2 or SSL_write_ex" in refused(
            image, "ssl_write_internal"
        )


def test_a_name_that_stands_for_two_functions(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text("static int __attribute__((used)) SSL_read(void) { return 1; }")
    library, symbols = build(
        tmp_path, READ + WRITE, NOINLINE, "-fvisibility=hidden", str(tmp_path / "other.c"), strip=False
    )
    with ElfImage.open(str(library)) as image:
        assert "SSL_read" in image.find_symbols(["SSL_read"]).ambiguous
        assert locate(image, "SSL_read") is None
        assert locate(image, "SSL_write") == address_of(symbols, "SSL_write")
