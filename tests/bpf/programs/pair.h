/*
 * What the test programs share: a TLS client and a TLS server in one process, and a record of what each
 * end really moved.
 *
 * Every program is started as
 *     PROGRAM DIRECTORY CERTIFICATE KEY [its own arguments]
 * and prints, for TCP, "NAME LOCAL-PORT REMOTE-PORT" for each end. The rest is in recording.h.
 */
#ifndef PAIR_H
#define PAIR_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "recording.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

struct settings {
    const char *directory, *certificate, *key;
    int version;      /* 0, TLS1_2_VERSION or TLS1_3_VERSION */
    bool socketpair;  /* instead of TCP over 127.0.0.1 */
};

struct end {
    char name[64];
    SSL *ssl;
    int fd;
    struct records records;
};

struct pair {
    struct end client, server;
};

static struct settings settings;

static void explain(void)
{
    ERR_print_errors_fp(stderr);
}

/* Take the common arguments, say that the program is ready and wait for the word to go. */
__attribute__((unused)) static void begin(int argc, char **argv)
{
    if (argc < 4)
        die("usage: %s DIRECTORY CERTIFICATE KEY [...]", argv[0]);
    signal(SIGPIPE, SIG_IGN); /* the other end may be closed before its session ticket was read */
    settings.directory = argv[1];
    settings.certificate = argv[2];
    settings.key = argv[3];
    wait_for_the_word();
}

__attribute__((unused)) static SSL_CTX *make_context(bool server)
{
    SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!context)
        die("SSL_CTX_new");
    if (server && (SSL_CTX_use_certificate_chain_file(context, settings.certificate) != 1 ||
                   SSL_CTX_use_PrivateKey_file(context, settings.key, SSL_FILETYPE_PEM) != 1))
        die("certificate %s, key %s", settings.certificate, settings.key);
    if (settings.version) {
        SSL_CTX_set_min_proto_version(context, settings.version);
        SSL_CTX_set_max_proto_version(context, settings.version);
    }
    return context;
}

/* Start the record of an end; may be called again with a new name when its SSL is used again. */
__attribute__((format(printf, 2, 3), unused)) static void name_end(struct end *end, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(end->name, sizeof end->name, format, arguments);
    va_end(arguments);
    open_records(&end->records, settings.directory, end->name);
}

__attribute__((unused)) static void log_read(struct end *end, const void *data, size_t size)
{
    fwrite(data, 1, size, end->records.read);
}

__attribute__((unused)) static void log_write(struct end *end, const void *data, size_t size)
{
    fwrite(data, 1, size, end->records.write);
}

__attribute__((unused)) static void print_ports(const struct end *end)
{
    struct sockaddr_in local, remote;
    socklen_t size = sizeof local;
    if (settings.socketpair)
        return;
    if (getsockname(end->fd, (struct sockaddr *)&local, &size) ||
        getpeername(end->fd, (struct sockaddr *)&remote, &size))
        die("getsockname: %s", strerror(errno));
    printf("%s %d %d\n", end->name, ntohs(local.sin_port), ntohs(remote.sin_port));
    fflush(stdout);
}

/* Two connected sockets, both non-blocking. */
__attribute__((unused)) static void connect_sockets(struct pair *pair)
{
    if (settings.socketpair) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
            die("socketpair: %s", strerror(errno));
        pair->client.fd = fds[0];
        pair->server.fd = fds[1];
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof address;
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1) ||
            getsockname(listener, (struct sockaddr *)&address, &size))
            die("listen: %s", strerror(errno));
        pair->client.fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(pair->client.fd, (struct sockaddr *)&address, sizeof address))
            die("connect: %s", strerror(errno));
        pair->server.fd = accept(listener, NULL, NULL);
        close(listener);
    }
    fcntl(pair->client.fd, F_SETFL, O_NONBLOCK);
    fcntl(pair->server.fd, F_SETFL, O_NONBLOCK);
}

/* One step of an operation that may want to be retried; true when it is done. */
__attribute__((unused)) static bool done(SSL *ssl, int result)
{
    if (result > 0)
        return true;
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return false;
    default:
        die("TLS operation failed: %d", SSL_get_error(ssl, result));
    }
}

/* Both handshakes, turn by turn in this one thread. */
__attribute__((unused)) static void handshake(SSL *client, SSL *server)
{
    bool client_done = false, server_done = false;
    while (!client_done || !server_done) {
        if (!client_done)
            client_done = done(client, SSL_do_handshake(client));
        if (!server_done)
            server_done = done(server, SSL_do_handshake(server));
    }
}

__attribute__((unused)) static SSL *make_ssl(SSL_CTX *context, int fd, bool server)
{
    SSL *ssl = SSL_new(context);
    if (!ssl || SSL_set_fd(ssl, fd) != 1)
        die("SSL_new");
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

/* A new connection: sockets, both SSLs, both handshakes, both records. `name` must be unique. */
__attribute__((unused)) static void open_pair(struct pair *pair, SSL_CTX *client, SSL_CTX *server,
                                              const char *name)
{
    connect_sockets(pair);
    name_end(&pair->client, "%s-client", name);
    name_end(&pair->server, "%s-server", name);
    print_ports(&pair->client);
    print_ports(&pair->server);
    pair->client.ssl = make_ssl(client, pair->client.fd, false);
    pair->server.ssl = make_ssl(server, pair->server.fd, true);
    handshake(pair->client.ssl, pair->server.ssl);
}

static void close_end(struct end *end)
{
    SSL_shutdown(end->ssl);
    SSL_free(end->ssl);
    close(end->fd);
    close_records(&end->records);
}

__attribute__((unused)) static void close_pair(struct pair *pair)
{
    close_end(&pair->client);
    close_end(&pair->server);
}

/* Write all of it; it must fit into the socket's buffers. */
__attribute__((unused)) static void send_all(struct end *end, const void *data, size_t size)
{
    int written = SSL_write(end->ssl, data, (int)size);
    if (written != (int)size)
        die("SSL_write returned %d, not %zu", written, size);
    log_write(end, data, size);
}

/* Read exactly `size` bytes. */
__attribute__((unused)) static void receive_all(struct end *end, size_t size)
{
    char buffer[16384];
    while (size) {
        int n = SSL_read(end->ssl, buffer, (int)(size < sizeof buffer ? size : sizeof buffer));
        if (!done(end->ssl, n))
            continue;
        log_read(end, buffer, (size_t)n);
        size -= (size_t)n;
    }
}

#endif
