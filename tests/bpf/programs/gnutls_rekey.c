/*
 * gnutls_rekey ... HOW: new keys in the middle of a connection, which stays the same one. HOW:
 *     update       gnutls_session_key_update (TLS 1.3), which the other end answers
 *     corked       ... while data is corked, so that uncork does both
 *     handshake    a second handshake (TLS 1.2), asked for by the server with gnutls_rehandshake
 */
#include "gnutls_pair.h"

static struct peers peers;

static void exchange(unsigned seed)
{
    static unsigned char data[20000];
    fill(data, sizeof data, seed);
    send_whole(&peers.client, data, 3000);
    receive_whole(&peers.server, 3000);
    send_whole(&peers.server, data, sizeof data);
    receive_whole(&peers.client, sizeof data);
}

static void update(unsigned round)
{
    while (again(gnutls_session_key_update(peers.client.session, round % 2 ? GNUTLS_KU_PEER : 0)))
        ;
}

static void update_corked(void)
{
    static unsigned char data[40000];
    fill(data, sizeof data, 99);
    gnutls_record_cork(peers.client.session);
    send_whole(&peers.client, data, 500);
    while (again(gnutls_session_key_update(peers.client.session, GNUTLS_KU_PEER)))
        ;
    send_whole(&peers.client, data + 500, sizeof data - 500);
    while (again(gnutls_record_uncork(peers.client.session, 0)))
        ;
    receive_whole(&peers.server, sizeof data);
}

/* The client hears of it when it reads; data that comes in between is read with it. */
static void handshake_again(void)
{
    char buffer[16];
    ssize_t n = GNUTLS_E_AGAIN;
    while (again(gnutls_rehandshake(peers.server.session)))
        ;
    while (n != GNUTLS_E_REHANDSHAKE) {
        n = gnutls_record_recv(peers.client.session, buffer, sizeof buffer);
        if (n != GNUTLS_E_REHANDSHAKE && !again(n))
            die("data instead of a wish");
    }
    shake_hands(&peers);
}

int main(int argc, char **argv)
{
    begin_gnutls(argc, argv);
    if (argc != 5)
        die("HOW is missing");
    if (!strcmp(argv[4], "handshake"))
        peer_settings.priority = TLS12;
    open_peers(&peers, "rekey");
    exchange(0);
    for (unsigned round = 1; round < 5; round++) {
        if (!strcmp(argv[4], "handshake"))
            handshake_again();
        else if (!strcmp(argv[4], "corked"))
            update_corked();
        else
            update(round);
        exchange(round);
    }
    close_peers(&peers);
    return 0;
}
