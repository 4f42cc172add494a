"""Small libraries and programs of BoringSSL's shape: the same calls of each other, the same errors."""

from __future__ import annotations

import subprocess
from pathlib import Path

from elftools.elf.elffile import ELFFile

SOURCE_NAME = "ssl_lib.cc"

# The connection has a part that holds what was read: a pointer with a length, and then the buffer.
TYPES = """
    typedef unsigned long size_t;
    typedef struct { const unsigned char *data; size_t size; size_t used; } Bytes;
    typedef struct { long state[6]; Bytes pending; Bytes buffer; } Part;
    typedef struct ssl SSL;
    typedef struct {
        int (*read)(SSL *, int *);
        int (*write)(SSL *, int *, size_t *, const void *, size_t);
    } Method;
    struct ssl {
        const Method *method; long words[2]; int (*handshake)(SSL *); void *quic; Part *part; char *name;
    };
    extern void *calloc(size_t, size_t), *memcpy(void *, const void *, size_t);
    extern char *strdup(const char *);
    extern size_t strlen(const char *);
    extern void discard(Bytes *), inform(SSL *, int), use(SSL *, const void *, long);
    extern long produce(void *, long);
    #ifdef REPORTER_ELSEWHERE
    extern void ERR_put_error(int library, int unused, int reason, const char *file, unsigned line);
    #else
    __attribute__((noipa))
    void ERR_put_error(int library, int unused, int reason, const char *file, unsigned line) {}
    #endif
    #define ERROR(reason) ERR_put_error(16, 0, reason, __FILE__, __LINE__)
    #define NO_INLINE __attribute__((noinline))
    #ifndef READ
    #define READ NO_INLINE
    #endif
    #ifndef PEEK
    #define PEEK NO_INLINE
    #endif
    #ifndef READ_IMPL
    #define READ_IMPL NO_INLINE
    #endif
    #ifndef WRITE
    #define WRITE NO_INLINE
    #endif
    #ifndef HANDSHAKE
    #define HANDSHAKE NO_INLINE
    #endif
    #ifndef NEW
    #define NEW NO_INLINE
    #endif
    #ifndef SERVER_NAME
    #define SERVER_NAME NO_INLINE
    #endif
"""

BEFORE = """
    NO_INLINE int SSL_CTX_check(void **context) {
        if (!context) { ERROR(196); return 0; }
        if (!*context) { ERROR(247); return 0; }
        return 1;
    }
    NEW SSL *SSL_new(void **context) {
        if (!context) { ERROR(185); return 0; }
        SSL *ssl = calloc(1, sizeof *ssl);
        if (ssl) ssl->method = *context;
        return ssl;
    }
    NO_INLINE int SSL_provide_quic_data(SSL *ssl, int level, const void *data, size_t size) {
        if (!ssl->quic) { ERROR(66); return 0; }
        if (!ssl->handshake) { ERROR(226); return 0; }
        if (level) { ERROR(234); return 0; }
        if (size > 99) { ERROR(142); return 0; }
        use(ssl, data, size);
        return 1;
    }
"""

HANDSHAKE = """
    HANDSHAKE int SSL_do_handshake(SSL *ssl) {
        if (!ssl->handshake) { ERROR(134); return -1; }
        int done = ssl->handshake(ssl);
        inform(ssl, done);
        return done;
    }
    extern int default_handshake(SSL *);
    NO_INLINE int SSL_connect(SSL *ssl) {
        if (!ssl->handshake) ssl->handshake = default_handshake;
        return SSL_do_handshake(ssl);
    }
    NO_INLINE int SSL_accept(SSL *ssl) {
        if (!ssl->handshake) ssl->handshake = default_handshake;
        return SSL_do_handshake(ssl);
    }
"""

READING = """
    READ_IMPL int ssl_read_impl(SSL *ssl) {
        if (!ssl->handshake) { ERROR(226); return -1; }
        while (!ssl->part->pending.size) {
            int again = 0;
            if (ssl->part->state[2]) {
                int done = SSL_do_handshake(ssl);
                if (done < 0) return done;
                if (!done) { ERROR(215); return -1; }
            }
            int got = ssl->method->read(ssl, &again);
            if (got <= 0) return got;
        }
        return 1;
    }
    PEEK int SSL_peek(SSL *ssl, void *buffer, int size) {
        PEEK_ERROR
        int got = ssl_read_impl(ssl);
        if (got <= 0) return got;
        if (size <= 0) return size;
        size_t some = ssl->part->pending.size;
        if (some > (size_t)size) some = size;
        if (some) memcpy(buffer, ssl->part->pending.data, some);
        return some;
    }
    READ int SSL_read(SSL *ssl, void *buffer, int size) {
        int got = SSL_peek(ssl, buffer, size);
        if (got <= 0) return got;
        ssl->part->pending.data += got;
        ssl->part->pending.size -= got;
        if (!ssl->part->pending.size) discard(&ssl->part->buffer);
        return got;
    }
"""
PEEK_ERROR = "if (ssl->quic) { ERROR(66); return -1; }"

WRITING = """
    WRITE int SSL_write(SSL *ssl, const void *buffer, int size) {
        if (ssl->quic) { ERROR(66); return -1; }
        if (!ssl->handshake) { ERROR(226); return -1; }
        int done, again = 0;
        size_t moved = 0;
        do {
            if (ssl->part->state[3]) {
                done = SSL_do_handshake(ssl);
                if (done < 0) return done;
                if (!done) { ERROR(215); return -1; }
            }
            if (size < 0) { ERROR(111); return -1; }
            done = ssl->method->write(ssl, &again, &moved, buffer, size);
        } while (again);
        return done <= 0 ? done : (int)moved;
    }
"""

AFTER = """
    NO_INLINE int SSL_shutdown(SSL *ssl) {
        if (!ssl->handshake) { ERROR(226); return -1; }
        if (ssl->part->state[4]) {
            int got = ssl_read_impl(ssl);
            if (got > 0) { ERROR(291); return -1; }
        }
        return 1;
    }
    SERVER_NAME int SSL_set_tlsext_host_name(SSL *ssl, const char *name) {
        ssl->name = 0;
        if (!name) return 1;
        size_t size = strlen(name);
        if (!size || size > 255) { ERROR(213); return 0; }
        ssl->name = strdup(name);
        return ssl->name != 0;
    }
"""

PROGRAM = """
    struct connection { long number; SSL *ssl; char *place; int left; };
    static char buffer[4096];
    NO_INLINE long read_all(struct connection *of) {
        long total = 0;
        for (int got; (got = SSL_read(of->ssl, buffer, sizeof buffer)) > 0; total += got)
            use(of->ssl, buffer, got);
        return total;
    }
    NO_INLINE int read_some(struct connection *of, int most) {
        int got = SSL_read(of->ssl, of->place, most < of->left ? most : of->left);
        if (got == of->left) got = SSL_read(of->ssl, buffer, 1);
        of->left -= got;
        return got;
    }
    NO_INLINE int is_alive(struct connection *of) {
        char one;
        return SSL_peek(of->ssl, &one, 1) + 2;
    }
    NO_INLINE int write_all(struct connection *of, long times) {
        int done = 0;
        while (times--) done += SSL_write(of->ssl, buffer, produce(buffer, times));
        return done;
    }
    NO_INLINE int write_place(struct connection *of) { return SSL_write(of->ssl, of->place, of->left) - 1; }
    NO_INLINE int start(struct connection *of, void **context, const char *name) {
        of->ssl = SSL_new(context);
        if (!of->ssl) return of->number;
        SSL_set_tlsext_host_name(of->ssl, name);
        return SSL_do_handshake(of->ssl) + 3;
    }
    long run(struct connection *of, void **context, const char *name) {
        long result = SSL_CTX_check(context) + start(of, context, name) + SSL_connect(of->ssl);
        result += read_all(of) + read_some(of, 5) + is_alive(of) + write_all(of, 9) + write_place(of);
        result += SSL_accept(of->ssl) + SSL_provide_quic_data(of->ssl, 0, name, 2) + SSL_shutdown(of->ssl);
        return result + start(of, context, 0);
    }
"""

LIBRARY = BEFORE + HANDSHAKE + READING.replace("PEEK_ERROR", PEEK_ERROR) + WRITING + AFTER
OLD_LIBRARY = LIBRARY.replace(PEEK_ERROR, "")
INLINE = "static inline __attribute__((always_inline))"


def build(
    folder: Path, library: str, *options: str, path: str = f"ssl/{SOURCE_NAME}", program: str = PROGRAM
) -> tuple[Path, dict[str, int]]:
    """A stripped shared object (or what the options say), and the addresses of its functions.

    :param path: what errors name as their source.
    """
    source, symbols, stripped = folder / "source.c", folder / "symbols", folder / "stripped"
    source.write_text(f'{TYPES}\n# 100 "{path}"\n{library}\n# 1 "program.c"\n{program}')
    command = ["gcc", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-nostdlib", "-w"]
    subprocess.run([*command, "-o", symbols, source, *options], check=True)
    subprocess.run(["strip", "-o", stripped, symbols], check=True)
    return stripped, functions(symbols)


def functions(path: Path) -> dict[str, int]:
    """The addresses of all functions, by name."""
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".symtab")
        return {
            symbol.name: int(symbol["st_value"])
            for symbol in section.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
        }
