/*
 * The scenarios of `tlstap plugins check`, for a program in C that uses a TLS library.
 *
 * Include this file, define the functions below and link with the library; main() is here. Each scenario has a
 * TLS client and a TLS server in one process, over TCP sockets that don't block, and prints a line of JSON for
 * each end of a connection: what driver_read and driver_write really moved. `tlstap plugins check --protocol`
 * explains the lines.
 */
#ifndef TLSTAP_DRIVER_H
#define TLSTAP_DRIVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRIVER_END 0     /* read: the other end has closed the connection */
#define DRIVER_AGAIN -1  /* nothing was moved, because the socket is not ready; the call is made again */
#define DRIVER_FAILED -2 /* nothing was moved, and nothing will be */

/* What the including file defines. A handle should be the pointer by which the library knows the connection. */

/* Once, at the start: PEM files with the server's certificate, which clients don't have to check, and its key. */
static void driver_begin(const char *certificate, const char *key);
/* A new end of a connection on this socket, which stays the caller's. */
static void *driver_new(int socket, bool server);
/* A step of the handshake: 1 when it is done, DRIVER_AGAIN or DRIVER_FAILED. */
static long driver_handshake(void *handle);
/* One call of the library: how many bytes it moved, or one of the numbers above. Also called too early (a write
 * before the handshake) and too late (a read after the end). */
static long driver_read(void *handle, void *buffer, size_t size);
static long driver_write(void *handle, const void *data, size_t size);
/* Tell the other end that nothing more will come (close_notify). */
static void driver_close(void *handle);
static void driver_free(void *handle);
#ifdef DRIVER_HAS_RESET
/* Use a handle that was closed for another connection, without freeing it. */
static void driver_reset(void *handle, int socket, bool server);
#endif

enum { KIB = 1024, MIB = 1024 * 1024 };

/* The number of bytes that went one way, and their FNV-1a hash. */
struct stream {
    uint64_t bytes, hash;
};

struct end {
    void *handle;
    int socket;
    bool server;
    unsigned seed;
    int failed_reads, failed_writes;
    struct stream read, written;
};

struct pair {
    struct end client, server;
};

__attribute__((noreturn)) static void stop(const char *why)
{
    fprintf(stderr, "driver: %s\n", why);
    exit(1);
}

static void add(struct stream *stream, const unsigned char *data, size_t size)
{
    stream->bytes += size;
    for (size_t i = 0; i < size; i++)
        stream->hash = (stream->hash ^ data[i]) * 1099511628211u;
}

/* Bytes that differ by place and by end, so that a wrong one anywhere is noticed. */
static void fill(struct end *end, unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        end->seed = end->seed * 1103515245u + 12345u;
        data[i] = (unsigned char)(end->seed >> 16);
    }
}

static void *memory(size_t size)
{
    void *data = calloc(1, size);
    if (!data)
        stop("no memory");
    return data;
}

/* One call each. */

static size_t read_once(struct end *end, void *buffer, size_t size)
{
    long n = driver_read(end->handle, buffer, size);
    if (n <= 0) {
        end->failed_reads++;
        return 0;
    }
    add(&end->read, buffer, (size_t)n);
    return (size_t)n;
}

static size_t write_once(struct end *end, const void *data, size_t size)
{
    long n = driver_write(end->handle, data, size);
    if (n == DRIVER_FAILED)
        stop("a write failed");
    if (n <= 0) {
        end->failed_writes++;
        return 0;
    }
    add(&end->written, data, (size_t)n);
    return (size_t)n;
}

/* Move so many bytes from one end to the other: writes of at most `write_size`, reads into `read_size` bytes. */
static void move(struct end *from, struct end *to, size_t size, size_t write_size, size_t read_size)
{
    unsigned char *data = memory(size), *buffer = memory(read_size);
    size_t sent = 0, received = 0;
    fill(from, data, size);
    while (received < size) {
        if (sent < size)
            sent += write_once(from, data + sent, size - sent < write_size ? size - sent : write_size);
        received += read_once(to, buffer, read_size);
    }
    free(data);
    free(buffer);
}

/* Connections. */

static void connect_pair(struct pair *pair)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct end *ends[] = {&pair->client, &pair->server};
    pair->client.socket = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &size) ||
        connect(pair->client.socket, (struct sockaddr *)&address, size) ||
        (pair->server.socket = accept(listener, NULL, NULL)) < 0)
        stop("no TCP connection over 127.0.0.1");
    close(listener);
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i]->socket, F_SETFL, O_NONBLOCK);
        setsockopt(ends[i]->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
}

static void begin_end(struct end *end, bool server)
{
    static unsigned seeds;
    end->server = server;
    end->seed = __atomic_add_fetch(&seeds, 1, __ATOMIC_RELAXED) * 2654435761u;
    end->failed_reads = end->failed_writes = 0;
    end->read = end->written = (struct stream){0, 14695981039346656037u};
}

static void shake_hands(struct pair *pair)
{
    long client = DRIVER_AGAIN, server = DRIVER_AGAIN;
    while (client != 1 || server != 1) {
        if (client != 1)
            client = driver_handshake(pair->client.handle);
        if (server != 1)
            server = driver_handshake(pair->server.handle);
        if (client == DRIVER_FAILED || server == DRIVER_FAILED)
            stop("a handshake failed");
    }
}

/* New sockets and new handles, before the handshake. */
static void make_pair(struct pair *pair)
{
    connect_pair(pair);
    begin_end(&pair->client, false);
    begin_end(&pair->server, true);
    pair->client.handle = driver_new(pair->client.socket, false);
    pair->server.handle = driver_new(pair->server.socket, true);
}

static void open_pair(struct pair *pair)
{
    make_pair(pair);
    shake_hands(pair);
}

static void exchange(struct pair *pair, size_t size)
{
    move(&pair->client, &pair->server, size, size, 16 * KIB);
    move(&pair->server, &pair->client, size / 2 + 1, size, 16 * KIB);
}

static void print_end(const struct end *end)
{
    printf("{\"role\": \"%s\", \"handle\": \"%p\", "
           "\"read\": {\"bytes\": %" PRIu64 ", \"fnv1a64\": \"%016" PRIx64 "\"}, "
           "\"written\": {\"bytes\": %" PRIu64 ", \"fnv1a64\": \"%016" PRIx64 "\"}, "
           "\"failed_reads\": %d, \"failed_writes\": %d}\n",
           end->server ? "server" : "client", end->handle, end->read.bytes, end->read.hash, end->written.bytes,
           end->written.hash, end->failed_reads, end->failed_writes);
}

static void wait_for_end(struct end *end)
{
    char buffer[64];
    long n;
    while ((n = driver_read(end->handle, buffer, sizeof buffer)) == DRIVER_AGAIN)
        end->failed_reads++;
    if (n > 0)
        stop("more arrived than was sent");
}

/* Both ends say that nothing more will come, and hear it. */
static void end_pair(struct pair *pair)
{
    driver_close(pair->client.handle);
    wait_for_end(&pair->server);
    driver_close(pair->server.handle);
    wait_for_end(&pair->client);
    print_end(&pair->client);
    print_end(&pair->server);
    close(pair->client.socket);
    close(pair->server.socket);
}

static void close_pair(struct pair *pair)
{
    end_pair(pair);
    driver_free(pair->client.handle);
    driver_free(pair->server.handle);
}

/* The scenarios. */

static void exchange_scenario(void)
{
    struct pair pair;
    open_pair(&pair);
    exchange(&pair, 1000);
    exchange(&pair, 10);
    close_pair(&pair);
}

/* Small buffers, small writes, and a socket that is full. */
static void partial_scenario(void)
{
    static const size_t sizes[][3] = {{5000, 5000, 1}, {5000, 5000, 7}, {5000, 700, 300}, {300, 1, 16 * KIB}};
    static unsigned char data[256 * KIB], buffer[3000];
    struct pair pair;
    size_t sent, received = 0;
    open_pair(&pair);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        move(&pair.client, &pair.server, sizes[i][0], sizes[i][1], sizes[i][2]);
        move(&pair.server, &pair.client, sizes[i][0], sizes[i][1], sizes[i][2]);
    }
    do { /* nobody reads, until a call can't send all of its bytes */
        uint64_t before = pair.client.written.bytes;
        int failed = pair.client.failed_writes;
        fill(&pair.client, data, sizeof data);
        for (sent = 0; sent < sizeof data;) {
            sent += write_once(&pair.client, data + sent, sizeof data - sent);
            if (failed != pair.client.failed_writes)
                break;
        }
        if (before > 64 * MIB)
            stop("the socket takes all that is written");
    } while (sent == sizeof data);
    while (sent < sizeof data || pair.server.read.bytes < pair.client.written.bytes) {
        if (sent < sizeof data)
            sent += write_once(&pair.client, data + sent, sizeof data - sent);
        received += read_once(&pair.server, buffer, sizeof buffer);
    }
    close_pair(&pair);
}

/* Calls that move nothing: before the handshake, with nothing there, and after the end. */
static void failed_scenario(void)
{
    static const char never[] = "this is never sent", *last = "after the failed calls";
    char buffer[256];
    struct pair pair;
    make_pair(&pair);
    for (int i = 0; i < 2; i++) {
        if (driver_write(pair.client.handle, never, sizeof never) > 0)
            stop("a write before the handshake moved something");
        pair.client.failed_writes++;
    }
    shake_hands(&pair);
    for (int i = 0; i < 3; i++) {
        read_once(&pair.client, buffer, sizeof buffer);
        read_once(&pair.server, buffer, sizeof buffer);
    }
    exchange(&pair, strlen(last));
    driver_close(pair.client.handle);
    wait_for_end(&pair.server);
    read_once(&pair.server, buffer, sizeof buffer);
    read_once(&pair.server, buffer, 1);
    close_pair(&pair);
}

static void large_scenario(void)
{
    struct pair pair;
    open_pair(&pair);
    move(&pair.client, &pair.server, MIB, MIB, 64 * KIB);
    move(&pair.server, &pair.client, MIB, MIB, MIB);
    close_pair(&pair);
}

/* Memory that is freed comes again, so one connection's handle is soon another's. */
static void reuse_scenario(void)
{
    for (size_t i = 0; i < 12; i++) {
        struct pair pair;
        open_pair(&pair);
        exchange(&pair, 100 + i);
        close_pair(&pair);
    }
}

static void reset_scenario(void)
{
#ifdef DRIVER_HAS_RESET
    struct pair pair;
    open_pair(&pair);
    for (size_t i = 0; i < 3; i++) {
        exchange(&pair, 100 + i);
        end_pair(&pair);
        connect_pair(&pair);
        begin_end(&pair.client, false);
        begin_end(&pair.server, true);
        driver_reset(pair.client.handle, pair.client.socket, false);
        driver_reset(pair.server.handle, pair.server.socket, true);
        shake_hands(&pair);
    }
    exchange(&pair, 50);
    close_pair(&pair);
#else
    printf("{\"left_out\": \"the driver has no reset\"}\n");
#endif
}

static void interleaved_scenario(void)
{
    static struct pair pairs[12];
    const size_t count = sizeof pairs / sizeof *pairs;
    for (size_t i = 0; i < count; i++)
        open_pair(&pairs[i]);
    for (size_t round = 0; round < 4; round++)
        for (size_t i = 0; i < count; i++)
            exchange(&pairs[round % 2 ? count - 1 - i : i], 10 + 100 * round + i);
    for (size_t i = 0; i < count; i++)
        close_pair(&pairs[i]);
}

static void *several_connections(void *argument)
{
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        open_pair(&pair);
        for (size_t round = 0; round < 10; round++)
            exchange(&pair, 5000 + i);
        close_pair(&pair);
    }
    return argument;
}

static void threads_scenario(void)
{
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, several_connections, NULL))
            stop("no thread");
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* The first connection is freed while the second one goes on: its end must be seen then, not later. */
static void close_scenario(void)
{
    struct pair first, second;
    open_pair(&first);
    open_pair(&second);
    exchange(&first, 300);
    exchange(&second, 200);
    close_pair(&first);
    exchange(&second, 100);
    close_pair(&second);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*play)(void);
    } scenarios[] = {
        {"exchange", exchange_scenario}, {"partial", partial_scenario}, {"failed", failed_scenario},
        {"large", large_scenario},       {"reuse", reuse_scenario},     {"reset", reset_scenario},
        {"close", close_scenario},       {"threads", threads_scenario}, {"interleaved", interleaved_scenario},
    };
    const char *certificate = getenv("TLSTAP_CERTIFICATE"), *key = getenv("TLSTAP_KEY");
    if (argc < 2 || !certificate || !key)
        stop("needs a scenario, and TLSTAP_CERTIFICATE and TLSTAP_KEY in the environment");
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (!strcmp(argv[argc - 1], scenarios[i].name)) {
            driver_begin(certificate, key);
            scenarios[i].play();
            return 0;
        }
    printf("{\"left_out\": \"the driver does not know this scenario\"}\n");
    return 0;
}

#endif
