/*
 * A driver with a toy in the place of a TLS library, in the program itself, for tests of the conformance kit: records
 * are a length and bytes that are XORed. TOY in the environment chooses the functions that are called:
 *
 *     plain  toy_read and toy_write return the length
 *     ex     toy_read_ex and toy_write_ex return a status, and the length through a pointer
 *     outer  outer_read and outer_write have a handle of their own and call toy_read and toy_write
 *     mixed  outer_read and toy_write
 */
#define DRIVER_HAS_RESET
#include <tlstap/conformance/driver.h>

#include <errno.h>

#define FUNCTION __attribute__((noinline, noclone, used))
#define MOST (16 * KIB)
#define HEADER 4
#define MASK 0x5a

struct toy {
    struct toy *outer; /* another handle for the same connection */
    int socket;
    bool server, greeted, ended;
    unsigned char in[HEADER + MOST], out[HEADER + MOST];
    size_t in_size, in_taken, out_size, out_sent, pending;
};

/* Recognition: nothing else on the machine has it. */
FUNCTION int toy_library_of_tlstap_tests(void)
{
    return 42;
}

static bool flush(struct toy *toy)
{
    while (toy->out_sent < toy->out_size) {
        ssize_t n = send(toy->socket, toy->out + toy->out_sent, toy->out_size - toy->out_sent, 0);
        if (n < 0)
            return false;
        toy->out_sent += (size_t)n;
    }
    return true;
}

static bool put_record(struct toy *toy, const unsigned char *data, size_t size)
{
    uint32_t length = (uint32_t)size;
    if (!flush(toy))
        return false;
    memcpy(toy->out, &length, HEADER);
    for (size_t i = 0; i < size; i++)
        toy->out[HEADER + i] = data[i] ^ MASK;
    toy->out_size = HEADER + size;
    toy->out_sent = 0;
    flush(toy);
    return true;
}

/* A whole record in `in`; false if it is not there yet. */
static bool get_record(struct toy *toy, uint32_t *length)
{
    flush(toy);
    for (;;) {
        size_t wanted = HEADER;
        ssize_t n;
        if (toy->in_size >= HEADER) {
            memcpy(length, toy->in, HEADER);
            wanted += *length;
            if (toy->in_size == wanted)
                return true;
        }
        n = recv(toy->socket, toy->in + toy->in_size, wanted - toy->in_size, 0);
        if (n <= 0)
            return false;
        toy->in_size += (size_t)n;
    }
}

static long take(struct toy *toy, unsigned char *buffer, size_t size)
{
    uint32_t length;
    size_t left;
    if (toy->ended)
        return DRIVER_END;
    if (!toy->greeted || !get_record(toy, &length))
        return DRIVER_AGAIN;
    if (!length) {
        toy->ended = true;
        return DRIVER_END;
    }
    left = length - toy->in_taken;
    size = size < left ? size : left;
    for (size_t i = 0; i < size; i++)
        buffer[i] = toy->in[HEADER + toy->in_taken + i] ^ MASK;
    toy->in_taken += size;
    if (toy->in_taken == length)
        toy->in_size = toy->in_taken = 0;
    return (long)size;
}

static long give(struct toy *toy, const unsigned char *data, size_t size)
{
    if (!toy->greeted)
        return DRIVER_AGAIN;
    if (!toy->pending) {
        toy->pending = size < MOST ? size : MOST;
        put_record(toy, data, toy->pending);
    }
    if (!flush(toy))
        return DRIVER_AGAIN;
    size = toy->pending;
    toy->pending = 0;
    return (long)size;
}

/* The library's functions. */

FUNCTION struct toy *toy_new(bool server)
{
    struct toy *toy = calloc(1, sizeof *toy);
    toy->outer = calloc(1, sizeof *toy);
    toy->outer->outer = toy;
    toy->server = server;
    return toy;
}

FUNCTION void toy_reset(struct toy *toy)
{
    struct toy *outer = toy->outer;
    bool server = toy->server;
    memset(toy, 0, sizeof *toy);
    toy->outer = outer;
    toy->server = server;
}

FUNCTION void toy_free(struct toy *toy)
{
    free(toy->outer);
    free(toy);
}

FUNCTION int toy_become_client(struct toy *toy)
{
    __asm__ volatile("" : : "r"(toy) : "memory");
    return 0;
}

FUNCTION int toy_become_server(struct toy *toy)
{
    __asm__ volatile("" : : "r"(toy) : "memory");
    return 1;
}

/* 1 when done, else 0. Each end sends a byte and waits for the other's. */
FUNCTION int toy_handshake(struct toy *toy)
{
    uint32_t length;
    if (!toy->out_size)
        put_record(toy, (const unsigned char *)"!", 1);
    if (!toy->greeted && get_record(toy, &length)) {
        toy->greeted = true;
        toy->in_size = 0;
    }
    return toy->greeted;
}

FUNCTION long toy_read(struct toy *toy, void *buffer, size_t size)
{
    long n = take(toy, buffer, size);
    __asm__ volatile("" : : : "memory");
    return n;
}

FUNCTION long toy_write(struct toy *toy, const void *data, size_t size)
{
    long n = give(toy, data, size);
    __asm__ volatile("" : : : "memory");
    return n;
}

FUNCTION int toy_read_ex(struct toy *toy, void *buffer, size_t size, size_t *moved)
{
    long n = take(toy, buffer, size);
    *moved = n > 0 ? (size_t)n : 0;
    return n > 0;
}

FUNCTION int toy_write_ex(struct toy *toy, const void *data, size_t size, size_t *moved)
{
    long n = give(toy, data, size);
    *moved = n > 0 ? (size_t)n : 0;
    return n > 0;
}

FUNCTION long outer_read(struct toy *outer, void *buffer, size_t size)
{
    long n = toy_read(outer->outer, buffer, size);
    __asm__ volatile("" : : : "memory");
    return n;
}

FUNCTION long outer_write(struct toy *outer, const void *data, size_t size)
{
    long n = toy_write(outer->outer, data, size);
    __asm__ volatile("" : : : "memory");
    return n;
}

/* Nobody calls this one. */
FUNCTION long toy_never(struct toy *toy, void *buffer, size_t size)
{
    __asm__ volatile("" : : "r"(toy), "r"(buffer) : "memory");
    return (long)size;
}

/* The driver. */

static enum { PLAIN, EX, OUTER, MIXED } way;

static void driver_begin(const char *certificate, const char *key)
{
    static const char *const names[] = {"plain", "ex", "outer", "mixed"};
    const char *chosen = getenv("TOY");
    (void)certificate, (void)key;
    for (int i = 0; chosen && i < 4; i++)
        if (!strcmp(chosen, names[i]))
            way = i;
}

static void driver_reset(void *handle, int socket, bool server)
{
    struct toy *toy = handle;
    toy_reset(toy);
    toy->socket = socket;
    (server ? toy_become_server : toy_become_client)(toy);
}

static void *driver_new(int socket, bool server)
{
    struct toy *toy = toy_new(server);
    toy->socket = socket;
    (server ? toy_become_server : toy_become_client)(toy);
    return toy;
}

static long driver_handshake(void *handle)
{
    return toy_handshake(handle) ? 1 : DRIVER_AGAIN;
}

static long driver_read(void *handle, void *buffer, size_t size)
{
    struct toy *toy = handle;
    size_t n;
    if (way == EX)
        return toy_read_ex(toy, buffer, size, &n) ? (long)n : toy->ended ? DRIVER_END : DRIVER_AGAIN;
    return way == PLAIN ? toy_read(toy, buffer, size) : outer_read(toy->outer, buffer, size);
}

static long driver_write(void *handle, const void *data, size_t size)
{
    struct toy *toy = handle;
    size_t n;
    if (way == EX)
        return toy_write_ex(toy, data, size, &n) ? (long)n : DRIVER_AGAIN;
    return way == OUTER ? outer_write(toy->outer, data, size) : toy_write(toy, data, size);
}

static void driver_close(void *handle)
{
    put_record(handle, NULL, 0);
}

static void driver_free(void *handle)
{
    toy_free(handle);
}
