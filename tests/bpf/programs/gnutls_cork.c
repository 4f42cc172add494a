/*
 * gnutls_cork ... HOW: many small messages and a large one put into few records (gnutls_record_cork, sends,
 * gnutls_record_uncork), then messages as usual.
 *
 * HOW: wait (uncork does it in one call), again or interrupted (the transport fails now and then, so uncork has
 * to be called again; now and then there is more to send before that).
 * What was corked counts as sent when gnutls_record_send takes it. Prints "failed N": calls that failed.
 */
#include "gnutls_pair.h"

static int failed;

static void send_corked(struct peer *peer, const unsigned char *data, size_t size)
{
    ssize_t n = must((int)gnutls_record_send(peer->session, data, size), "gnutls_record_send");
    if ((size_t)n != size)
        die("corked %zd of %zu bytes", n, size);
    log_write(&peer->end, data, size);
}

static size_t uncork(struct peer *peer, bool wait, const unsigned char *data, size_t extra)
{
    int n, before = failed;
    /* After a failure the session is corked as before; what was sent until then is not in the result. */
    while (again(n = gnutls_record_uncork(peer->session, wait ? GNUTLS_RECORD_WAIT : 0))) {
        failed++;
        peer->part = failed % 2 ? 50 : 0;
        if (failed == before + 2 && extra)
            send_corked(peer, data, extra);
    }
    return (size_t)n;
}

int main(int argc, char **argv)
{
    static unsigned char data[60000];
    struct peers peers = {0};
    bool wait;

    begin_gnutls(argc, argv);
    if (argc != 5)
        die("HOW is missing");
    wait = !strcmp(argv[4], "wait");
    peer_settings.own_push = !wait;
    open_peers(&peers, "cork");
    peers.client.error = strcmp(argv[4], "interrupted") ? EAGAIN : EINTR;
    if (gnutls_record_uncork(peers.client.session, 0))
        die("uncorked what was not corked");
    for (unsigned round = 0; round < 6; round++) {
        size_t total = 0, extra = 0;
        fill(data, sizeof data, round);
        gnutls_record_cork(peers.client.session);
        for (size_t size = 1; size < 2000; size = size * 3 + round) {
            send_corked(&peers.client, data + total, size);
            total += size;
        }
        if (round % 2) {
            send_corked(&peers.client, data + total, 35000); /* more than two records */
            total += 35000;
        }
        if (!wait && round >= 2) {
            peers.client.failures = 3;
            extra = round == 4 ? 700 : 0;
        }
        uncork(&peers.client, wait, data + total, extra);
        total += extra;
        receive_whole(&peers.server, total);
        send_whole(&peers.client, data, 100 + round);
        receive_whole(&peers.server, 100 + round);
        send_whole(&peers.server, data, 10);
        receive_whole(&peers.client, 10);
    }
    printf("failed %d\n", failed);
    close_peers(&peers);
    return 0;
}
