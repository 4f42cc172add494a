/*
 * messages ... API VERSION TRANSPORT CONNECTIONS MESSAGES SIZE
 *
 * Connections one after another; on each, MESSAGES times, the client sends SIZE bytes and the server answers
 * with SIZE + 1. API: plain (SSL_read, SSL_write) or ex (SSL_read_ex, SSL_write_ex).
 * VERSION: 1.2 or 1.3. TRANSPORT: tcp or socketpair.
 */
#include "pair.h"

static bool use_ex;

static void put(struct end *end, const unsigned char *data, size_t size)
{
    size_t written;
    if (!use_ex) {
        send_all(end, data, size);
        return;
    }
    if (SSL_write_ex(end->ssl, data, size, &written) != 1 || written != size)
        die("SSL_write_ex");
    log_write(end, data, size);
}

static void get(struct end *end, size_t size)
{
    unsigned char buffer[16384];
    size_t n;
    if (!use_ex) {
        receive_all(end, size);
        return;
    }
    while (size) {
        int result = SSL_read_ex(end->ssl, buffer, size < sizeof buffer ? size : sizeof buffer, &n);
        if (!done(end->ssl, result))
            continue;
        log_read(end, buffer, n);
        size -= n;
    }
}

int main(int argc, char **argv)
{
    unsigned char *data;
    int connections, messages;
    size_t size;
    SSL_CTX *client, *server;
    struct pair pair;
    char name[32];

    begin(argc, argv);
    if (argc != 10)
        die("six arguments after the common ones");
    use_ex = !strcmp(argv[4], "ex");
    settings.version = strcmp(argv[5], "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
    settings.socketpair = !strcmp(argv[6], "socketpair");
    connections = atoi(argv[7]);
    messages = atoi(argv[8]);
    size = (size_t)atol(argv[9]);
    data = malloc(size + 1);
    client = make_context(false);
    server = make_context(true);
    for (int c = 0; c < connections; c++) {
        snprintf(name, sizeof name, "%d", c);
        open_pair(&pair, client, server, name);
        for (int m = 0; m < messages; m++) {
            fill(data, size, (unsigned)(c * 1000 + m));
            put(&pair.client, data, size);
            get(&pair.server, size);
            fill(data, size + 1, (unsigned)(500000 + c * 1000 + m));
            put(&pair.server, data, size + 1);
            get(&pair.client, size + 1);
        }
        close_pair(&pair);
    }
    free(data);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    return 0;
}
