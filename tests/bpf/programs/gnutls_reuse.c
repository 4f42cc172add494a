/*
 * gnutls_reuse: gnutls_deinit, then gnutls_init, which gives the same pointer again. Each connection is one of
 * its own.
 *
 * Every second connection ends with a message that could not be sent, and what GnuTLS kept of it is gone with
 * the session: none of it is in the next connection. Prints "same N": how often a pointer came again.
 */
#include "gnutls_pair.h"

int main(int argc, char **argv)
{
    char name[32], text[64], lost[] = "a message that never got out";
    gnutls_session_t previous = NULL;
    int same = 0;

    begin_gnutls(argc, argv);
    peer_settings.own_push = true;
    for (int i = 0; i < 8; i++) {
        struct peers peers = {0};
        snprintf(name, sizeof name, "%d", i);
        snprintf(text, sizeof text, "connection %d with the pointer of another one", i);
        open_peers(&peers, name);
        same += peers.client.session == previous || peers.server.session == previous;
        previous = peers.client.session;
        send_whole(&peers.client, text, strlen(text));
        receive_whole(&peers.server, strlen(text));
        send_whole(&peers.server, text, strlen(text) - 1);
        receive_whole(&peers.client, strlen(text) - 1);
        if (i % 2) {
            peers.client.failures = 1;
            peers.client.error = EAGAIN;
            if (gnutls_record_send(peers.client.session, lost, sizeof lost) != GNUTLS_E_AGAIN)
                die("sending did not fail");
            close_peer(&peers.client);
            close_peer(&peers.server);
        } else {
            close_peers(&peers);
        }
    }
    printf("same %d\n", same);
    return 0;
}
