"""The shape of OpenSSL's libssl, in small: its functions report errors and call a connection's methods.

Compiled with VERSION=300 they report them as from 3.0 on, with 330 writing takes flags, with 111 and 102 as
in 1.1.1 and 1.0.2.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from elftools.elf.elffile import ELFFile

HEAD = """
    typedef unsigned long size_t;
    typedef struct ssl SSL;
    struct method {
        SSL *(*create)(void *);
        int (*read)(SSL *, void *, size_t, size_t *);
        int (*write)(SSL *, const void *, size_t, size_t *);
        int (*clear)(SSL *);
        long (*control)(SSL *, int, long, void *);
    };
    struct ssl { const struct method *method; int (*handshake)(SSL *); int mode; };
    #define NOIPA __attribute__((noipa))
    #if VERSION >= 300
    NOIPA void ERR_new(void) {}
    NOIPA void ERR_set_debug(const char *file, int line, const char *name) {}
    NOIPA void ERR_set_error(int library, int reason, const char *format) {}
    #define error(reason) \\
        (ERR_new(), ERR_set_debug(__FILE__, __LINE__, __func__), ERR_set_error(20, reason, 0))
    #else
    NOIPA void ERR_put_error(int library, int name, int reason, const char *file, int line) {}
    #define error(reason) ERR_put_error(20, NUMBER, reason, __FILE__, __LINE__)
    #endif
    #ifndef INTERNAL
    #define INTERNAL __attribute__((noinline,noclone))
    #endif
    #if VERSION >= 330
    #define FLAGS , long flags
    #define NO_FLAGS , 0
    #define MORE_FLAGS , flags
    #else
    #define FLAGS
    #define NO_FLAGS
    #define MORE_FLAGS
    #endif
    NOIPA int wait_for(SSL *s) { return s->mode; }
    #line 1 "ssl/ssl_lib.c"
"""

OTHERS = """
    #define NUMBER 300
    int SSL_use(SSL *s, int what) {
        switch (what) {
        case 1: error(11); wait_for(s); return 1;
        case 2: error(12); wait_for(s); return 2;
        case 3: error(13); wait_for(s); return 3;
        case 4: error(14); wait_for(s); return 4;
        case 5: error(15); wait_for(s); return 5;
        case 6: error(16); wait_for(s); return 6;
        }
        return 0;
    }
    #undef NUMBER
    #define NUMBER 186
    SSL *SSL_new(void **context) {
        if (!context) { error(195); return 0; }
        return ((struct method *)context[1])->create(context);
    }
    #undef NUMBER
    #define NUMBER 164
    int SSL_clear(SSL *s) {
        if (!s->method) { error(188); return 0; }
        s->mode = 0;
        return s->method->clear(s);
    }
    #undef NUMBER
    #define NUMBER 180
    int SSL_do_handshake(SSL *s) {
        if (!s->handshake) { error(144); return -1; }
        wait_for(s);
        return s->handshake(s);
    }
"""

CONTROL = """
    #line 1 "ssl/s3_lib.c"
    #undef NUMBER
    #define NUMBER 213
    long ssl3_ctrl(SSL *s, int command, long large, void *pointer) {
        if (command == 55 && !pointer) { error(320); return 0; }
        return s->method->control(s, command, large, pointer);
    }
    NOIPA static int last(SSL *s) { return s->mode; }
    int SSL_last(SSL *s) { return last(s) + 1; }
"""

READ = """
    #undef NUMBER
    #define NUMBER 523
    INTERNAL int ssl_read_internal(SSL *s, void *buf, size_t num, size_t *readbytes) {
        if (!s->handshake) { error(276); return -1; }
        if (s->mode == 2) { wait_for(s); return 0; }
        return s->method->read(s, buf, num, readbytes);
    }
    #undef NUMBER
    #define NUMBER 223
    int SSL_read(SSL *s, void *buf, int num) {
        size_t n; int ret;
        if (num < 0) { error(271); return -1; }
        ret = ssl_read_internal(s, buf, num, &n);
        return ret > 0 ? (int)n : ret;
    }
    int SSL_read_ex(SSL *s, void *buf, size_t num, size_t *readbytes) {
        int ret = ssl_read_internal(s, buf, num, readbytes);
        return ret < 0 ? 0 : ret;
    }
"""

WRITE = """
    #undef NUMBER
    #define NUMBER 524
    INTERNAL int ssl_write_internal(SSL *s, const void *buf, size_t num FLAGS, size_t *written) {
        if (!s->handshake) { error(276); return -1; }
        if (s->mode == 2) { wait_for(s); return 0; }
        return s->method->write(s, buf, num, written);
    }
    #undef NUMBER
    #define NUMBER 208
    int SSL_write(SSL *s, const void *buf, int num) {
        size_t n; int ret;
        if (num < 0) { error(271); return -1; }
        ret = ssl_write_internal(s, buf, num NO_FLAGS, &n);
        return ret > 0 ? (int)n : ret;
    }
    #if VERSION >= 330
    int SSL_write_ex2(SSL *s, const void *buf, size_t num, long flags, size_t *written) {
        int ret = ssl_write_internal(s, buf, num, flags, written);
        return ret < 0 ? 0 : ret;
    }
    #endif
    int SSL_write_ex(SSL *s, const void *buf, size_t num, size_t *written) {
        int ret = ssl_write_internal(s, buf, num NO_FLAGS, written);
        return ret < 0 ? 0 : ret;
    }
"""

# Up to 1.1.0 there were no internal functions.
OLD = """
    #undef NUMBER
    #define NUMBER 223
    int SSL_read(SSL *s, void *buf, int num) {
        if (!s->handshake) { error(276); return -1; }
        return ((int (*)(SSL *, void *, int))s->method->read)(s, buf, num);
    }
    #undef NUMBER
    #define NUMBER 208
    int SSL_write(SSL *s, const void *buf, int num) {
        if (!s->handshake) { error(276); return -1; }
        return ((int (*)(SSL *, const void *, int))s->method->write)(s, buf, num);
    }
"""

# Where nothing else tells, functions begin where calls lead.
USE = """
    #ifdef __aarch64__
    #define CALL "bl "
    #else
    #define CALL "call "
    #endif
    __asm__(".text\\n use: nop\\n nop\\n nop\\n" CALL "SSL_new\\n" CALL "SSL_clear\\n" CALL "SSL_use\\n"
            CALL "SSL_do_handshake\\n" CALL "SSL_read\\n" CALL "SSL_write\\n" CALL "ssl3_ctrl\\n" "ret");
"""
EVERYTHING = OTHERS + READ + WRITE + CONTROL
INLINED = "-DINTERNAL=inline __attribute__((always_inline))"


def build(folder: Path, source: str, *options: str, version: int = 300) -> tuple[Path, dict[str, int]]:
    """A library without symbols, and the addresses of its functions."""
    (folder / "libssl.c").write_text(HEAD + source)
    whole, stripped = folder / "whole", folder / "stripped"
    command = ["gcc", "-O2", "-shared", "-fPIC", "-nostdlib", "-fvisibility=hidden", f"-DVERSION={version}"]
    subprocess.run([*command, "-o", whole, folder / "libssl.c", *options], check=True)
    subprocess.run(["strip", "-s", "-o", stripped, whole], check=True)
    with whole.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return stripped, {symbol.name: symbol["st_value"] for symbol in table.iter_symbols() if symbol.name}
