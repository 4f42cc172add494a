/*
 * What the GnuTLS programs share: pair.h's sockets and records, and a GnuTLS client and server on them, turn by
 * turn in one thread. An end records what it moved when GnuTLS says so.
 */
#ifndef GNUTLS_PAIR_H
#define GNUTLS_PAIR_H

#include "pair.h"

#include <gnutls/gnutls.h>

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

struct peer {
    struct end end; /* name, socket and records; its SSL is not used */
    gnutls_session_t session;
    /* With own_push: the next push takes no more than `part` bytes, if that is not 0; then `failures` pushes
     * fail with `error`. */
    size_t part;
    int failures, error;
};

struct peers {
    struct peer client, server;
};

static struct {
    const char *priority;
    bool own_push; /* send through push(), which fails on demand */
    unsigned flags; /* of both sessions, for gnutls_init */
} peer_settings = {TLS13, false, 0};

static gnutls_certificate_credentials_t client_credentials, server_credentials;

/* The result of a call that must not fail. */
__attribute__((unused)) static int must(int result, const char *what)
{
    if (result < 0)
        die("%s: %s", what, gnutls_strerror(result));
    return result;
}

/* Whether the call has to be made again; other errors are the end. */
__attribute__((unused)) static bool again(ssize_t result)
{
    if (result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED)
        return true;
    must((int)result, "TLS operation");
    return false;
}

/* begin() of pair.h, and GnuTLS's credentials. */
__attribute__((unused)) static void begin_gnutls(int argc, char **argv)
{
    begin(argc, argv);
    must(gnutls_certificate_allocate_credentials(&client_credentials), "credentials");
    must(gnutls_certificate_allocate_credentials(&server_credentials), "credentials");
    must(gnutls_certificate_set_x509_key_file(server_credentials, settings.certificate, settings.key,
                                              GNUTLS_X509_FMT_PEM),
         "certificate");
}

static ssize_t push(gnutls_transport_ptr_t pointer, const void *data, size_t size)
{
    struct peer *peer = pointer;
    ssize_t sent;
    if (peer->part) {
        size = peer->part < size ? peer->part : size;
        peer->part = 0;
    } else if (peer->failures > 0) {
        peer->failures--;
        gnutls_transport_set_errno(peer->session, peer->error);
        return -1;
    }
    sent = send(peer->end.fd, data, size, 0);
    if (sent < 0)
        gnutls_transport_set_errno(peer->session, errno);
    return sent;
}

static ssize_t pull(gnutls_transport_ptr_t pointer, void *data, size_t size)
{
    struct peer *peer = pointer;
    ssize_t received = recv(peer->end.fd, data, size, 0);
    if (received < 0)
        gnutls_transport_set_errno(peer->session, errno);
    return received;
}

/* A session on the peer's socket; with GnuTLS's own transport, or push() and pull(). */
__attribute__((unused)) static void make_session(struct peer *peer, bool server)
{
    unsigned flags = (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | peer_settings.flags;
    must(gnutls_init(&peer->session, flags), "gnutls_init");
    must(gnutls_priority_set_direct(peer->session, peer_settings.priority, NULL), peer_settings.priority);
    must(gnutls_credentials_set(peer->session, GNUTLS_CRD_CERTIFICATE,
                                server ? server_credentials : client_credentials),
         "gnutls_credentials_set");
    peer->part = 0;
    peer->failures = 0;
    if (peer_settings.own_push) {
        gnutls_transport_set_ptr(peer->session, peer);
        gnutls_transport_set_push_function(peer->session, push);
        gnutls_transport_set_pull_function(peer->session, pull);
    } else {
        gnutls_transport_set_int(peer->session, peer->end.fd);
    }
}

/* Both handshakes, turn by turn. */
__attribute__((unused)) static void shake_hands(struct peers *peers)
{
    bool client_done = false, server_done = false;
    while (!client_done || !server_done) {
        if (!client_done)
            client_done = !again(gnutls_handshake(peers->client.session));
        if (!server_done)
            server_done = !again(gnutls_handshake(peers->server.session));
    }
}

/* Two connected sockets and the records of both ends, no session yet. */
__attribute__((unused)) static void connect_peers(struct peers *peers, const char *name)
{
    struct pair sockets;
    connect_sockets(&sockets);
    peers->client.end.fd = sockets.client.fd;
    peers->server.end.fd = sockets.server.fd;
    name_end(&peers->client.end, "%s-client", name);
    name_end(&peers->server.end, "%s-server", name);
    print_ports(&peers->client.end);
    print_ports(&peers->server.end);
}

/* A new connection: sockets, both sessions, both handshakes, both records. `name` must be unique. */
__attribute__((unused)) static void open_peers(struct peers *peers, const char *name)
{
    connect_peers(peers, name);
    make_session(&peers->client, false);
    make_session(&peers->server, true);
    shake_hands(peers);
}

__attribute__((unused)) static void close_peer(struct peer *peer)
{
    gnutls_deinit(peer->session);
    close(peer->end.fd);
    close_records(&peer->end.records);
}

/* The client ends the connection, which the server sees as the end of the stream: a read of 0 bytes. */
__attribute__((unused)) static void close_peers(struct peers *peers)
{
    char buffer[16];
    ssize_t n;
    while (again(gnutls_bye(peers->client.session, GNUTLS_SHUT_WR)))
        ;
    while (again(n = gnutls_record_recv(peers->server.session, buffer, sizeof buffer)))
        ;
    if (n)
        die("%zd bytes more than were expected", n);
    close_peer(&peers->client);
    close_peer(&peers->server);
}

/* Send all of it with gnutls_record_send; it must fit into the socket's buffers. */
__attribute__((unused)) static void send_whole(struct peer *peer, const void *data, size_t size)
{
    while (size) {
        ssize_t n = gnutls_record_send(peer->session, data, size);
        if (again(n))
            continue;
        log_write(&peer->end, data, (size_t)n);
        data = (const char *)data + n;
        size -= (size_t)n;
    }
}

/* What one gnutls_record_recv gives, perhaps nothing. */
__attribute__((unused)) static size_t receive_part(struct peer *peer, size_t limit)
{
    char buffer[16384];
    ssize_t n = gnutls_record_recv(peer->session, buffer, limit < sizeof buffer ? limit : sizeof buffer);
    if (again(n))
        return 0;
    if (!n)
        die("%s: end of stream", peer->end.name);
    log_read(&peer->end, buffer, (size_t)n);
    return (size_t)n;
}

/* Read exactly `size` bytes. */
__attribute__((unused)) static void receive_whole(struct peer *peer, size_t size)
{
    while (size)
        size -= receive_part(peer, size);
}

#endif
