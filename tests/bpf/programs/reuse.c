/*
 * reuse: one SSL pointer, several connections.
 *
 * free:  SSL_free, then SSL_new until it gives the same pointer again.
 * clear: SSL_clear on both ends, then a new connection with the same SSLs.
 * Each connection is one of its own. Prints "same N": how often a pointer came again after SSL_free.
 */
#include "pair.h"

static SSL_CTX *client, *server;

static void exchange(struct pair *pair, const char *text)
{
    send_all(&pair->client, text, strlen(text));
    receive_all(&pair->server, strlen(text));
    send_all(&pair->server, text, strlen(text) - 1);
    receive_all(&pair->client, strlen(text) - 1);
}

/* Freed memory is given out again last in, first out, so a few tries are enough; the others stay open. */
static int after_free(void)
{
    char name[32], text[64];
    void *previous = NULL;
    int same = 0;

    for (int i = 0; i < 8; i++) {
        struct pair pair;
        snprintf(name, sizeof name, "free-%d", i);
        snprintf(text, sizeof text, "connection %d after SSL_free", i);
        open_pair(&pair, client, server, name);
        same += pair.client.ssl == previous || pair.server.ssl == previous;
        exchange(&pair, text);
        previous = pair.client.ssl;
        close_pair(&pair);
    }
    return same;
}

static void after_clear(void)
{
    struct pair pair;

    open_pair(&pair, client, server, "clear-0");
    exchange(&pair, "before SSL_clear");
    SSL_shutdown(pair.client.ssl);
    SSL_shutdown(pair.server.ssl);
    close(pair.client.fd);
    close(pair.server.fd);

    if (SSL_clear(pair.client.ssl) != 1 || SSL_clear(pair.server.ssl) != 1)
        die("SSL_clear");
    connect_sockets(&pair);
    name_end(&pair.client, "clear-1-client");
    name_end(&pair.server, "clear-1-server");
    print_ports(&pair.client);
    print_ports(&pair.server);
    SSL_set_fd(pair.client.ssl, pair.client.fd);
    SSL_set_fd(pair.server.ssl, pair.server.fd);
    SSL_set_session(pair.client.ssl, NULL);
    handshake(pair.client.ssl, pair.server.ssl);
    exchange(&pair, "after SSL_clear, the same SSL and another connection");
    close_pair(&pair);
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    client = make_context(false);
    server = make_context(true);
    printf("same %d\n", after_free());
    after_clear();
    return 0;
}
