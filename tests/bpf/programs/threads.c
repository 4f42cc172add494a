/*
 * threads ... THREADS CONNECTIONS MESSAGES SIZE: each thread opens CONNECTIONS connections of its own, one
 * after another; besides, one connection is used by all threads in turn.
 */
#include <pthread.h>

#include "pair.h"

static SSL_CTX *client, *server;
static int connections, messages;
static size_t size;
static struct pair shared;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *argument)
{
    int thread = (int)(long)argument;
    unsigned char *data = malloc(size);
    struct pair pair;
    char name[32];

    for (int c = 0; c < connections; c++) {
        snprintf(name, sizeof name, "thread-%d-%d", thread, c);
        open_pair(&pair, client, server, name);
        for (int m = 0; m < messages; m++) {
            fill(data, size, (unsigned)(thread * 10000 + c * 100 + m));
            send_all(&pair.client, data, size);
            receive_all(&pair.server, size);
            send_all(&pair.server, data, size / 2);
            receive_all(&pair.client, size / 2);

            pthread_mutex_lock(&lock);
            send_all(&shared.client, data, size);
            receive_all(&shared.server, size);
            pthread_mutex_unlock(&lock);
        }
        close_pair(&pair);
    }
    free(data);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    int count;

    begin(argc, argv);
    if (argc != 8)
        die("THREADS, CONNECTIONS, MESSAGES and SIZE are missing");
    count = atoi(argv[4]);
    connections = atoi(argv[5]);
    messages = atoi(argv[6]);
    size = (size_t)atol(argv[7]);
    if (count > 64)
        die("at most 64 threads");
    client = make_context(false);
    server = make_context(true);
    open_pair(&shared, client, server, "shared");
    for (int t = 0; t < count; t++)
        pthread_create(&threads[t], NULL, work, (void *)(long)t);
    for (int t = 0; t < count; t++)
        pthread_join(threads[t], NULL);
    close_pair(&shared);
    return 0;
}
