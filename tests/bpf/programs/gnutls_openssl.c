/*
 * gnutls_openssl ... HOW: one process that uses both libraries. HOW:
 *     turns             a connection of each, in turn
 *     gnutls-inside     GnuTLS's push and pull functions write to and read from OpenSSL's connection
 *     openssl-inside    OpenSSL's BIO sends and receives on GnuTLS's connection
 * In the latter two, the outer connections carry the records of the inner ones; both are recorded.
 */
#include "gnutls_pair.h"

static struct pair openssl;
static struct peers gnutls;

/* ---- GnuTLS inside OpenSSL ---- */

static ssize_t push_openssl(gnutls_transport_ptr_t pointer, const void *data, size_t size)
{
    struct end *carrier = pointer;
    send_all(carrier, data, size);
    return (ssize_t)size;
}

static ssize_t pull_openssl(gnutls_transport_ptr_t pointer, void *data, size_t size)
{
    struct end *carrier = pointer;
    int n = SSL_read(carrier->ssl, data, (int)size);
    if (!done(carrier->ssl, n)) {
        errno = EAGAIN;
        return -1;
    }
    log_read(carrier, data, (size_t)n);
    return n;
}

static void gnutls_over(struct peer *peer, struct end *carrier, bool server, const char *name)
{
    name_end(&peer->end, "%s", name);
    make_session(peer, server);
    gnutls_transport_set_ptr(peer->session, carrier);
    gnutls_transport_set_push_function(peer->session, push_openssl);
    gnutls_transport_set_pull_function(peer->session, pull_openssl);
}

/* ---- OpenSSL inside GnuTLS ---- */

static int bio_write(BIO *bio, const char *data, int size)
{
    struct peer *carrier = BIO_get_data(bio);
    ssize_t n = gnutls_record_send(carrier->session, data, (size_t)size);
    BIO_clear_retry_flags(bio);
    if (again(n)) {
        BIO_set_retry_write(bio);
        return -1;
    }
    log_write(&carrier->end, data, (size_t)n);
    return (int)n;
}

static int bio_read(BIO *bio, char *data, int size)
{
    struct peer *carrier = BIO_get_data(bio);
    ssize_t n = gnutls_record_recv(carrier->session, data, (size_t)size);
    BIO_clear_retry_flags(bio);
    if (again(n)) {
        BIO_set_retry_read(bio);
        return -1;
    }
    log_read(&carrier->end, data, (size_t)n);
    return (int)n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void openssl_over(struct end *end, struct peer *carrier, bool server, const char *name)
{
    static BIO_METHOD *method;
    BIO *bio;
    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "GnuTLS");
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_ctrl(method, bio_control);
    }
    bio = BIO_new(method);
    BIO_set_data(bio, carrier);
    BIO_set_init(bio, 1);
    name_end(end, "%s", name);
    end->ssl = SSL_new(make_context(server));
    SSL_set_bio(end->ssl, bio, bio);
    if (server)
        SSL_set_accept_state(end->ssl);
    else
        SSL_set_connect_state(end->ssl);
}

/* ---- traffic on each ---- */

static unsigned char data[15000];

static void exchange_openssl(unsigned seed)
{
    fill(data, sizeof data, seed);
    send_all(&openssl.client, data, 300);
    receive_all(&openssl.server, 300);
    send_all(&openssl.server, data, sizeof data);
    receive_all(&openssl.client, sizeof data);
}

static void exchange_gnutls(unsigned seed)
{
    fill(data, sizeof data, seed);
    send_whole(&gnutls.client, data, 400);
    receive_whole(&gnutls.server, 400);
    send_whole(&gnutls.server, data, sizeof data - 1);
    receive_whole(&gnutls.client, sizeof data - 1);
}

int main(int argc, char **argv)
{
    const char *how;

    begin_gnutls(argc, argv);
    if (argc != 5)
        die("HOW is missing");
    how = argv[4];
    if (strcmp(how, "openssl-inside"))
        open_pair(&openssl, make_context(false), make_context(true), "openssl");
    if (strcmp(how, "gnutls-inside"))
        open_peers(&gnutls, "gnutls");
    if (!strcmp(how, "gnutls-inside")) {
        gnutls_over(&gnutls.client, &openssl.client, false, "gnutls-client");
        gnutls_over(&gnutls.server, &openssl.server, true, "gnutls-server");
        shake_hands(&gnutls);
    } else if (!strcmp(how, "openssl-inside")) {
        openssl_over(&openssl.client, &gnutls.client, false, "openssl-client");
        openssl_over(&openssl.server, &gnutls.server, true, "openssl-server");
        handshake(openssl.client.ssl, openssl.server.ssl);
    }
    for (unsigned round = 0; round < 3; round++) {
        exchange_openssl(2 * round);
        exchange_gnutls(2 * round + 1);
    }
    return 0;
}
