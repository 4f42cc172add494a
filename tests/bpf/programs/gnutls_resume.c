/*
 * gnutls_resume ... RESUME ERROR TRANSPORT MESSAGES SIZE
 *
 * The client sends MESSAGES messages of SIZE bytes, and sending fails for the time being. GnuTLS keeps what it
 * was given and wants to be called again, with the same data or with none at all. RESUME:
 *     null     the buffer is overwritten, then gnutls_record_send(session, NULL, 0)
 *     same     the same arguments
 *     other    the buffer is overwritten, then another buffer with more bytes, of which GnuTLS takes none
 *     short    the buffer is overwritten, then one byte, of which GnuTLS takes none; it returns more than 1
 *     thread   like null, by another thread
 *     bye      gnutls_bye, which sends it before its alert; for one message
 * ERROR: again or interrupted, the error that the first calls give. TRANSPORT:
 *     push     a push function that fails three times, now and then after part of a record
 *     tcp      a socket with a small buffer, which is full now and then
 * In between, the client sends on a second connection and reads on the first.
 * Prints "failed N": how many calls failed.
 */
#include "gnutls_pair.h"

#include <poll.h>
#include <pthread.h>

static struct peers peers, others;
static const char *resume;
static int failed;
static unsigned char *buffer, *more;
static size_t buffer_size;

/* What happens between a call that failed and the next. */
static void meanwhile(void)
{
    static const char aside[] = "on another connection";
    if (failed % 5 == 1) {
        send_whole(&others.client, aside, strlen(aside));
        receive_whole(&others.server, strlen(aside));
        send_whole(&peers.server, aside, strlen(aside));
        receive_whole(&peers.client, strlen(aside));
    }
}

static void *resume_with_nothing(void *result)
{
    *(ssize_t *)result = gnutls_record_send(peers.client.session, NULL, 0);
    return NULL;
}

static ssize_t call_again(const void *data, size_t size)
{
    ssize_t n;
    pthread_t thread;
    if (!strcmp(resume, "same"))
        return gnutls_record_send(peers.client.session, data, size);
    if (!strcmp(resume, "bye")) {
        n = gnutls_bye(peers.client.session, GNUTLS_SHUT_WR);
        return n ? n : (ssize_t)size;
    }
    if (!strcmp(resume, "other"))
        return gnutls_record_send(peers.client.session, more, size + 100);
    if (!strcmp(resume, "short"))
        return gnutls_record_send(peers.client.session, more, 1);
    if (strcmp(resume, "thread"))
        return gnutls_record_send(peers.client.session, NULL, 0);
    if (pthread_create(&thread, NULL, resume_with_nothing, &n) || pthread_join(thread, NULL))
        die("thread");
    return n;
}

/* The server takes what there is, until the client's socket has room. */
static void make_room(void)
{
    struct pollfd sockets[] = {{.fd = peers.client.end.fd, .events = POLLOUT},
                               {.fd = peers.server.end.fd, .events = POLLIN}};
    do {
        while (receive_part(&peers.server, 16384))
            ;
        poll(sockets, 2, 10000);
    } while (!sockets[0].revents);
}

/* Send some of it, with as many calls as it takes. */
static size_t send_some(const unsigned char *data, size_t size)
{
    ssize_t n;
    memcpy(buffer, data, size);
    n = gnutls_record_send(peers.client.session, buffer, size);
    while (again(n)) {
        failed++;
        if (strcmp(resume, "same"))
            memset(buffer, 'X', buffer_size);
        meanwhile();
        if (!peer_settings.own_push)
            make_room();
        n = call_again(buffer, size);
    }
    log_write(&peers.client.end, data, (size_t)n);
    return (size_t)n;
}

static void shrink(void)
{
    int size = 4096;
    setsockopt(peers.client.end.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static size_t file_size(struct peer *peer)
{
    return (size_t)ftell(peer->end.records.write);
}

int main(int argc, char **argv)
{
    unsigned char *data;
    size_t received = 0;

    begin_gnutls(argc, argv);
    if (argc != 9)
        die("five arguments after the common ones");
    resume = argv[4];
    peer_settings.own_push = !strcmp(argv[6], "push");
    buffer_size = (size_t)atol(argv[8]);
    data = malloc(buffer_size);
    buffer = malloc(buffer_size);
    more = malloc(buffer_size + 100);
    memset(more, 'Y', buffer_size + 100);
    open_peers(&peers, "resume");
    open_peers(&others, "aside");
    peers.client.error = strcmp(argv[5], "again") ? EINTR : EAGAIN;
    if (!peer_settings.own_push)
        shrink();
    for (int m = 0; m < atoi(argv[7]); m++) {
        fill(data, buffer_size, (unsigned)m);
        for (size_t sent = 0; sent < buffer_size;) {
            peers.client.failures = 3;
            peers.client.part = m % 2 ? 100 : 0;
            sent += send_some(data + sent, buffer_size - sent);
            if (peer_settings.own_push)
                received += receive_part(&peers.server, 16384);
        }
    }
    fseek(peers.server.end.records.read, 0, SEEK_END);
    received = (size_t)ftell(peers.server.end.records.read);
    receive_whole(&peers.server, file_size(&peers.client) - received);
    printf("failed %d\n", failed);
    close_peers(&peers);
    close_peers(&others);
    return 0;
}
