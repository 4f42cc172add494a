/*
 * gnutls_details ... VERSION ASK: what an application asks about its connection: the server's name (which it
 * sets), ALPN, version and cipher suite. ASK: each (one by one) or description (gnutls_session_get_desc).
 * Prints what it asked for, as GnuTLS names it.
 */
#include "gnutls_pair.h"

static void ask_each(gnutls_session_t session)
{
    gnutls_datum_t protocol;
    must(gnutls_alpn_get_selected_protocol(session, &protocol), "gnutls_alpn_get_selected_protocol");
    printf("version %s\nsuite %s\nprotocol %.*s\n", gnutls_protocol_get_name(gnutls_protocol_get_version(session)),
           gnutls_ciphersuite_get(session), (int)protocol.size, protocol.data);
}

static void ask_description(gnutls_session_t session)
{
    char *description = gnutls_session_get_desc(session);
    printf("description %s\n", description);
    gnutls_free(description);
}

int main(int argc, char **argv)
{
    static const gnutls_datum_t protocols[] = {{(unsigned char *)"h2", 2}, {(unsigned char *)"http/1.1", 8}};
    struct peers peers = {0};
    void (*ask)(gnutls_session_t);

    begin_gnutls(argc, argv);
    if (argc != 6)
        die("VERSION and ASK are missing");
    ask = strcmp(argv[5], "each") ? ask_description : ask_each;
    peer_settings.priority = strcmp(argv[4], "1.2") ? TLS13 : TLS12;
    connect_peers(&peers, "details");
    make_session(&peers.client, false);
    make_session(&peers.server, true);
    /* Not a string: what follows is no part of the name. */
    must(gnutls_server_name_set(peers.client.session, GNUTLS_NAME_DNS, "tests.example+++", 13), "server name");
    must(gnutls_alpn_set_protocols(peers.client.session, protocols, 2, 0), "ALPN");
    must(gnutls_alpn_set_protocols(peers.server.session, protocols + 1, 1, 0), "ALPN");
    shake_hands(&peers);
    ask(peers.client.session);
    ask(peers.server.session);
    send_whole(&peers.client, "question", 8);
    receive_whole(&peers.server, 8);
    send_whole(&peers.server, "answer", 6);
    receive_whole(&peers.client, 6);
    close_peers(&peers);
    return 0;
}
