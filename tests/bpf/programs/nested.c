/*
 * nested: TLS inside TLS. The inner client's BIO is a BIO_f_ssl over the outer client, and likewise on the
 * server, so every inner call makes outer calls from within. What the outer connections carry (the inner
 * one's records) is recorded by a BIO callback.
 */
#include "pair.h"

static struct pair outer, inner;

/* Sees what passes between an inner SSL and its outer one. */
static long watch(BIO *bio, int operation, const char *data, size_t size, int argi, long argl, int result,
                  size_t *processed)
{
    struct end *end = (struct end *)BIO_get_callback_arg(bio);
    (void)size, (void)argi, (void)argl;
    if (result > 0 && operation == (BIO_CB_READ | BIO_CB_RETURN))
        log_read(end, data, *processed);
    if (result > 0 && operation == (BIO_CB_WRITE | BIO_CB_RETURN))
        log_write(end, data, *processed);
    return result;
}

static SSL *inside(SSL_CTX *context, struct end *carrier, bool server)
{
    SSL *ssl = SSL_new(context);
    BIO *bio = BIO_new(BIO_f_ssl());
    BIO_set_ssl(bio, carrier->ssl, BIO_NOCLOSE);
    BIO_set_callback_ex(bio, watch);
    BIO_set_callback_arg(bio, (char *)carrier);
    SSL_set_bio(ssl, bio, bio);
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

int main(int argc, char **argv)
{
    static unsigned char question[3000], answer[20000];
    SSL_CTX *client, *server;

    begin(argc, argv);
    client = make_context(false);
    server = make_context(true);
    fill(question, sizeof question, 1);
    fill(answer, sizeof answer, 2);

    open_pair(&outer, client, server, "outer");
    name_end(&inner.client, "inner-client");
    name_end(&inner.server, "inner-server");
    inner.client.ssl = inside(client, &outer.client, false);
    inner.server.ssl = inside(server, &outer.server, true);
    handshake(inner.client.ssl, inner.server.ssl);

    send_all(&inner.client, question, sizeof question);
    receive_all(&inner.server, sizeof question);
    send_all(&inner.server, answer, sizeof answer);
    receive_all(&inner.client, sizeof answer);
    return 0;
}
