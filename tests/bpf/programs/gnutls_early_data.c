/*
 * gnutls_early_data ... HOW: a first connection gets a session ticket; a second one resumes it and sends
 * application data with the first flight (gnutls_record_send_early_data, which returns 0 when it has taken the
 * data, whatever its manual says). HOW:
 *     after     the server asks for it after the handshake (gnutls_record_recv_early_data), in several calls
 *     hook      ... in a handshake hook, so from within gnutls_handshake
 *     rejected  the server has another ticket key and never sees the data; the client sends it once more
 */
#include "gnutls_pair.h"

static const char early[] = "in the first flight", more[] = ", and some more", later[] = "after the handshake";

static gnutls_datum_t ticket_key, ticket;
static gnutls_anti_replay_t anti_replay;
static const char *how;
static struct peers peers;
static size_t received;

/* Tickets are never found in the database: each is used for the first time. */
static int add(void *pointer, time_t expires, const gnutls_datum_t *key, const gnutls_datum_t *data)
{
    (void)pointer, (void)expires, (void)key, (void)data;
    return 0;
}

static void receive_early(void)
{
    char buffer[7];
    ssize_t n;
    while ((n = gnutls_record_recv_early_data(peers.server.session, buffer, sizeof buffer)) > 0)
        log_read(&peers.server.end, buffer, (size_t)n), received += (size_t)n;
    if (n < 0 && n != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        again(n);
}

static int hook(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                const gnutls_datum_t *message)
{
    (void)session, (void)type, (void)when, (void)incoming, (void)message;
    receive_early();
    return 0;
}

static void make_sessions(void)
{
    make_session(&peers.client, false);
    make_session(&peers.server, true);
    must(gnutls_session_ticket_enable_server(peers.server.session, &ticket_key), "ticket key");
    gnutls_anti_replay_enable(peers.server.session, anti_replay);
    must(gnutls_record_set_max_early_data_size(peers.server.session, 16384), "max_early_data_size");
}

static void send_early(const char *text)
{
    ssize_t n = gnutls_record_send_early_data(peers.client.session, text, strlen(text));
    if (n)
        die("gnutls_record_send_early_data returned %zd", n);
    log_write(&peers.client.end, text, strlen(text));
}

static void get_ticket(void)
{
    connect_peers(&peers, "first");
    make_sessions();
    shake_hands(&peers);
    send_whole(&peers.server, later, strlen(later)); /* its reading brings the ticket along */
    receive_whole(&peers.client, strlen(later));
    if (!(gnutls_session_get_flags(peers.client.session) & GNUTLS_SFLAGS_SESSION_TICKET))
        die("no session ticket");
    must(gnutls_session_get_data2(peers.client.session, &ticket), "gnutls_session_get_data2");
    close_peers(&peers);
}

int main(int argc, char **argv)
{
    bool accepted;

    begin_gnutls(argc, argv);
    if (argc != 5)
        die("HOW is missing");
    how = argv[4];
    accepted = strcmp(how, "rejected");
    peer_settings.flags = GNUTLS_ENABLE_EARLY_DATA;
    must(gnutls_session_ticket_key_generate(&ticket_key), "ticket key");
    must(gnutls_anti_replay_init(&anti_replay), "gnutls_anti_replay_init");
    gnutls_anti_replay_set_add_function(anti_replay, add);
    get_ticket();
    if (!accepted)
        must(gnutls_session_ticket_key_generate(&ticket_key), "ticket key");

    connect_peers(&peers, "early");
    make_sessions();
    must(gnutls_session_set_data(peers.client.session, ticket.data, ticket.size), "gnutls_session_set_data");
    if (!strcmp(how, "hook"))
        gnutls_handshake_set_hook_function(peers.server.session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_POST, hook);
    send_early(early);
    send_early(more);
    shake_hands(&peers);
    if (!strcmp(how, "hook") && received != strlen(early) + strlen(more))
        die("the hook saw %zu bytes", received);
    receive_early();
    if (accepted != !!(gnutls_session_get_flags(peers.server.session) & GNUTLS_SFLAGS_EARLY_DATA))
        die("early data was %saccepted", accepted ? "not " : "");
    if (!accepted) {
        send_whole(&peers.client, early, strlen(early));
        receive_whole(&peers.server, strlen(early));
    }
    send_whole(&peers.client, later, strlen(later));
    receive_whole(&peers.server, strlen(later));
    send_whole(&peers.server, later, strlen(later));
    receive_whole(&peers.client, strlen(later));
    close_peers(&peers);
    return 0;
}
