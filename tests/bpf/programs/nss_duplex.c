/*
 * nss_duplex ... MESSAGES SIZE: one connection whose ends each have a thread that writes and one that reads,
 * at the same time, over sockets that block. Both handshakes come first: a reader that blocks while it makes
 * one keeps its writer out.
 */
#include <pthread.h>

#include "nss_pair.h"

static int messages;
static size_t size;

static void *writer(void *argument)
{
    struct end *end = argument;
    unsigned char *data = malloc(size);
    for (int m = 0; m < messages; m++) {
        fill(data, size, (unsigned)m + (strstr(end->name, "server") ? 1000 : 0));
        send_all(end, data, size);
    }
    free(data);
    return NULL;
}

static void *reader(void *argument)
{
    receive_all(argument, (size_t)messages * size);
    return NULL;
}

static void *shake_hands(void *argument)
{
    struct end *end = argument;
    if (SSL_ForceHandshake(end->fd) != SECSuccess)
        die("SSL_ForceHandshake of %s", end->name);
    return NULL;
}

int main(int argc, char **argv)
{
    struct pair pair;
    PRFileDesc *client, *server;
    pthread_t threads[4];

    begin(argc, argv);
    if (argc != 5)
        die("MESSAGES SIZE after the common arguments");
    messages = atoi(argv[3]);
    size = (size_t)atol(argv[4]);
    settings.blocking = true;
    connect_sockets(&client, &server);
    open_end(&pair.client, client, false, "duplex");
    open_end(&pair.server, server, true, "duplex");
    pthread_create(&threads[0], NULL, shake_hands, &pair.server);
    shake_hands(&pair.client);
    pthread_join(threads[0], NULL);
    pthread_create(&threads[0], NULL, writer, &pair.client);
    pthread_create(&threads[1], NULL, reader, &pair.server);
    pthread_create(&threads[2], NULL, writer, &pair.server);
    pthread_create(&threads[3], NULL, reader, &pair.client);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    close_end(&pair.client);
    close_end(&pair.server);
    return 0;
}
