/*
 * gnutls_threads ... CONNECTIONS SIZE: on each of several connections at once, two threads use the client's
 * session at the same time: one sends SIZE bytes, the other receives SIZE + 1. Likewise on the server.
 */
#include "gnutls_pair.h"

#include <poll.h>
#include <pthread.h>

static size_t size;

struct job {
    struct peer *peer;
    unsigned seed;
    size_t total;
};

static void wait_for(int fd, short events)
{
    struct pollfd socket = {.fd = fd, .events = events};
    poll(&socket, 1, 10000);
}

static void *sender(void *pointer)
{
    struct job *job = pointer;
    unsigned char *data = malloc(job->total);
    fill(data, job->total, job->seed);
    for (size_t sent = 0; sent < job->total;) {
        size_t part = job->total - sent < 3000 ? job->total - sent : 3000;
        ssize_t n = gnutls_record_send(job->peer->session, data + sent, part);
        if (again(n)) {
            wait_for(job->peer->end.fd, POLLOUT);
            continue;
        }
        log_write(&job->peer->end, data + sent, (size_t)n);
        sent += (size_t)n;
    }
    free(data);
    return NULL;
}

static void *receiver(void *pointer)
{
    struct job *job = pointer;
    for (size_t left = job->total; left;) {
        size_t n = receive_part(job->peer, left);
        if (!n)
            wait_for(job->peer->end.fd, POLLIN);
        left -= n;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static struct peers peers[8];
    static struct job jobs[8][4];
    pthread_t threads[8][4];
    int connections;
    char name[32];

    begin_gnutls(argc, argv);
    if (argc != 6)
        die("CONNECTIONS and SIZE are missing");
    connections = atoi(argv[4]);
    size = (size_t)atol(argv[5]);
    for (int c = 0; c < connections; c++) {
        snprintf(name, sizeof name, "%d", c);
        open_peers(&peers[c], name);
        jobs[c][0] = (struct job){&peers[c].client, 2 * (unsigned)c, size};
        jobs[c][1] = (struct job){&peers[c].server, 0, size};
        jobs[c][2] = (struct job){&peers[c].server, 2 * (unsigned)c + 1, size + 1};
        jobs[c][3] = (struct job){&peers[c].client, 0, size + 1};
    }
    for (int c = 0; c < connections; c++)
        for (int j = 0; j < 4; j++)
            if (pthread_create(&threads[c][j], NULL, j % 2 ? receiver : sender, &jobs[c][j]))
                die("pthread_create");
    for (int c = 0; c < connections; c++)
        for (int j = 0; j < 4; j++)
            pthread_join(threads[c][j], NULL);
    for (int c = 0; c < connections; c++)
        close_peers(&peers[c]);
    return 0;
}
