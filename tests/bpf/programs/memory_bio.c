/*
 * memory_bio: both SSLs have memory BIOs; the program itself carries the records over a TCP connection, as
 * asyncio and node do. The TLS functions never touch the socket.
 */
#include "pair.h"

/* Move records from the SSL to its socket and from the socket to the SSL, as many as there are. */
static void pump(struct end *end)
{
    char buffer[16384];
    int n;
    ssize_t got;

    while ((n = BIO_read(SSL_get_wbio(end->ssl), buffer, sizeof buffer)) > 0)
        if (write(end->fd, buffer, (size_t)n) != n)
            die("write: %s", strerror(errno));
    while ((got = read(end->fd, buffer, sizeof buffer)) > 0)
        BIO_write(SSL_get_rbio(end->ssl), buffer, (int)got);
}

static void detached(struct end *end, SSL_CTX *context, bool server)
{
    end->ssl = SSL_new(context);
    SSL_set_bio(end->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server)
        SSL_set_accept_state(end->ssl);
    else
        SSL_set_connect_state(end->ssl);
    print_ports(end);
}

static void transfer(struct end *from, struct end *to, const unsigned char *data, size_t size)
{
    char buffer[16384];
    send_all(from, data, size);
    pump(from);
    while (size) {
        int n;
        pump(to);
        n = SSL_read(to->ssl, buffer, sizeof buffer);
        if (!done(to->ssl, n))
            continue;
        log_read(to, buffer, (size_t)n);
        size -= (size_t)n;
    }
}

int main(int argc, char **argv)
{
    static unsigned char question[300], answer[20000];
    bool client_done = false, server_done = false;
    struct pair pair;

    begin(argc, argv);
    fill(question, sizeof question, 3);
    fill(answer, sizeof answer, 4);
    connect_sockets(&pair);
    name_end(&pair.client, "memory-client");
    name_end(&pair.server, "memory-server");
    detached(&pair.client, make_context(false), false);
    detached(&pair.server, make_context(true), true);
    while (!client_done || !server_done) {
        client_done = done(pair.client.ssl, SSL_do_handshake(pair.client.ssl));
        pump(&pair.client);
        pump(&pair.server);
        server_done = done(pair.server.ssl, SSL_do_handshake(pair.server.ssl));
        pump(&pair.server);
        pump(&pair.client);
    }
    transfer(&pair.client, &pair.server, question, sizeof question);
    transfer(&pair.server, &pair.client, answer, sizeof answer);
    return 0;
}
