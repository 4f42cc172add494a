/*
 * retries ... MODE SIZE: non-blocking sockets with small buffers, so that writing SIZE bytes takes many calls.
 * (A socketpair: TCP with such buffers waits for timers.)
 *
 * MODE whole: SSL_write is called again with the same arguments until it has written everything.
 * MODE partial: SSL_MODE_ENABLE_PARTIAL_WRITE, each call says how much it has written.
 * The first SSL_write calls are made before the handshake is over, and fail until it is.
 * Prints "failed N": how many calls had to be made again.
 */
#include "pair.h"

static void shrink(int fd)
{
    int size = 4096;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* What has arrived, perhaps nothing. */
static size_t receive_some(struct end *end)
{
    char buffer[3000];
    int n = SSL_read(end->ssl, buffer, sizeof buffer);
    if (!done(end->ssl, n))
        return 0;
    log_read(end, buffer, (size_t)n);
    return (size_t)n;
}

int main(int argc, char **argv)
{
    struct pair pair;
    unsigned char *data;
    size_t size, sent = 0, received = 0;
    bool partial;
    int failed = 0;

    begin(argc, argv);
    if (argc != 6)
        die("MODE and SIZE are missing");
    partial = !strcmp(argv[4], "partial");
    size = (size_t)atol(argv[5]);
    data = malloc(size);
    fill(data, size, 7);

    settings.socketpair = true;
    connect_sockets(&pair);
    shrink(pair.client.fd);
    shrink(pair.server.fd);
    name_end(&pair.client, "retries-client");
    name_end(&pair.server, "retries-server");
    pair.client.ssl = make_ssl(make_context(false), pair.client.fd, false);
    pair.server.ssl = make_ssl(make_context(true), pair.server.fd, true);
    if (partial)
        SSL_set_mode(pair.client.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);

    while (received < size) {
        if (sent < size) {
            int n = SSL_write(pair.client.ssl, data + sent, (int)(size - sent));
            if (done(pair.client.ssl, n)) {
                log_write(&pair.client, data + sent, (size_t)n);
                sent += (size_t)n;
            } else {
                failed++;
            }
        }
        received += receive_some(&pair.server);
    }
    printf("failed %d\n", failed);
    close_pair(&pair);
    free(data);
    return 0;
}
