/*
 * messages ... API VERSION TRANSPORT CONNECTIONS MESSAGES SIZE
 *
 * Connections one after another; on each, MESSAGES times, the client sends SIZE bytes and the server answers
 * with SIZE + 1. API: plain (SSL_read, SSL_write) or ex (SSL_read_ex, SSL_write_ex).
 * VERSION: 1.2 or 1.3. TRANSPORT: tcp or socketpair.
 */
#include "pair.h"

static bool use_ex;

/* One call that writes; 0 if it has to be made again. */
static size_t put(struct end *end, const unsigned char *data, size_t size)
{
    size_t written = 0;
    int result;
    if (use_ex) {
        result = SSL_write_ex(end->ssl, data, size, &written);
    } else {
        result = SSL_write(end->ssl, data, (int)size);
        written = result > 0 ? (size_t)result : 0;
    }
    return done(end->ssl, result) ? written : 0;
}

/* One call that reads, perhaps nothing. */
static size_t get(struct end *end)
{
    unsigned char buffer[16384];
    size_t n = 0;
    int result;
    if (use_ex) {
        result = SSL_read_ex(end->ssl, buffer, sizeof buffer, &n);
    } else {
        result = SSL_read(end->ssl, buffer, sizeof buffer);
        n = result > 0 ? (size_t)result : 0;
    }
    if (!done(end->ssl, result))
        return 0;
    log_read(end, buffer, n);
    return n;
}

/* Large messages do not fit into the socket's buffers, so both ends take turns. */
static void transfer(struct end *from, struct end *to, const unsigned char *data, size_t size)
{
    size_t sent = 0, received = 0;
    while (received < size) {
        if (!sent) {
            sent = put(from, data, size);
            log_write(from, data, sent);
        }
        received += get(to);
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
            transfer(&pair.client, &pair.server, data, size);
            fill(data, size + 1, (unsigned)(500000 + c * 1000 + m));
            transfer(&pair.server, &pair.client, data, size + 1);
        }
        close_pair(&pair);
    }
    free(data);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    return 0;
}
