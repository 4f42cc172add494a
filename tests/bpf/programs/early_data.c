/*
 * early_data: a first connection gets a session; a second one resumes it and sends application data with the
 * first flight (SSL_write_early_data), which the server takes with SSL_read_early_data. These functions call
 * SSL_write_ex and SSL_read_ex; each byte counts once.
 */
#include "pair.h"

static SSL_SESSION *session;

static int keep(SSL *ssl, SSL_SESSION *new_session)
{
    (void)ssl;
    SSL_SESSION_free(session);
    session = new_session;
    return 1;
}

int main(int argc, char **argv)
{
    static const char hello[] = "an ordinary connection", early[] = "in the first flight",
                      later[] = "after the handshake";
    SSL_CTX *client, *server;
    struct pair pair;
    char buffer[256];
    size_t n;
    int state;

    begin(argc, argv);
    settings.version = TLS1_3_VERSION;
    client = make_context(false);
    server = make_context(true);
    SSL_CTX_set_max_early_data(server, 16384);
    SSL_CTX_set_options(server, SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_session_id_context(server, (const unsigned char *)"test", 4);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(client, keep);
    open_pair(&pair, client, server, "first");
    send_all(&pair.server, hello, strlen(hello)); /* its reading brings the session ticket along */
    receive_all(&pair.client, strlen(hello));
    close_pair(&pair);
    if (!session || !SSL_SESSION_get_max_early_data(session))
        die("no session that allows early data");

    connect_sockets(&pair);
    name_end(&pair.client, "early-client");
    name_end(&pair.server, "early-server");
    print_ports(&pair.client);
    print_ports(&pair.server);
    pair.client.ssl = make_ssl(client, pair.client.fd, false);
    pair.server.ssl = make_ssl(server, pair.server.fd, true);
    SSL_set_session(pair.client.ssl, session);
    while (!done(pair.client.ssl, SSL_write_early_data(pair.client.ssl, early, strlen(early), &n)))
        ;
    log_write(&pair.client, early, n);
    do {
        state = SSL_read_early_data(pair.server.ssl, buffer, sizeof buffer, &n);
        if (state == SSL_READ_EARLY_DATA_SUCCESS)
            log_read(&pair.server, buffer, n);
        else if (state == SSL_READ_EARLY_DATA_ERROR)
            done(pair.server.ssl, 0);
    } while (state == SSL_READ_EARLY_DATA_ERROR);
    if (SSL_get_early_data_status(pair.server.ssl) != SSL_EARLY_DATA_ACCEPTED)
        die("early data was not accepted");
    while (SSL_do_handshake(pair.client.ssl) != 1 ||
           SSL_read_early_data(pair.server.ssl, buffer, sizeof buffer, &n) != SSL_READ_EARLY_DATA_FINISH)
        ;
    handshake(pair.client.ssl, pair.server.ssl);
    send_all(&pair.client, later, strlen(later));
    receive_all(&pair.server, strlen(later));
    close_pair(&pair);
    return 0;
}
