/*
 * gnutls_messages ... API VERSION TRANSPORT CONNECTIONS MESSAGES SIZE
 *
 * Connections one after another; on each, MESSAGES times, the client sends SIZE bytes and the server answers
 * with SIZE + 1. API:
 *     plain   gnutls_record_send and gnutls_record_recv
 *     send2   gnutls_record_send2, in TLS 1.3 with padding and with an empty padded record before each message
 *     range   gnutls_record_send_range, which sends more than one record in a call
 *     seq     gnutls_record_recv_seq
 *     packet  gnutls_record_recv_packet and gnutls_packet_get
 * VERSION: 1.2 or 1.3. TRANSPORT: tcp or socketpair.
 * Prints "most N": the largest number of bytes that one call sent.
 */
#include "gnutls_pair.h"

static const char *api;
static bool tls13;
static ssize_t most;

static ssize_t put_range(struct peer *peer, const unsigned char *data, size_t size)
{
    gnutls_range_st range = {.low = size > 100 ? size - 100 : 0, .high = size + 100};
    if (!gnutls_record_can_use_length_hiding(peer->session))
        die("this session has no padding");
    return gnutls_record_send_range(peer->session, data, size, &range);
}

static ssize_t put_padded(struct peer *peer, const unsigned char *data, size_t size, size_t sent)
{
    static const unsigned char nothing[1];
    if (tls13 && !sent) {
        ssize_t n = gnutls_record_send2(peer->session, nothing, 0, 50, 0);
        if (n)
            die("an empty record: %zd", n);
    }
    /* GnuTLS would pad beyond what a record may be. */
    return gnutls_record_send2(peer->session, data, size < 16000 ? size : 16000, tls13 ? 200 : 0, 0);
}

/* One call that sends, or tries to; bytes sent. */
static size_t put(struct peer *peer, const unsigned char *data, size_t size, size_t sent)
{
    ssize_t n;
    if (!strcmp(api, "range"))
        n = put_range(peer, data + sent, size - sent);
    else if (!strcmp(api, "send2"))
        n = put_padded(peer, data + sent, size - sent, sent);
    else
        n = gnutls_record_send(peer->session, data + sent, size - sent);
    if (again(n))
        return 0;
    if (n > most)
        most = n;
    log_write(&peer->end, data + sent, (size_t)n);
    return (size_t)n;
}

static ssize_t get_packet(struct peer *peer)
{
    gnutls_packet_t packet;
    gnutls_datum_t content;
    ssize_t n = gnutls_record_recv_packet(peer->session, &packet);
    if (n <= 0)
        return n;
    gnutls_packet_get(packet, &content, NULL);
    log_read(&peer->end, content.data, content.size);
    n = content.size;
    gnutls_packet_deinit(packet);
    return n;
}

/* One call that receives, or tries to; bytes received. */
static size_t get(struct peer *peer)
{
    unsigned char buffer[16384], sequence[8];
    ssize_t n;
    if (!strcmp(api, "packet"))
        n = get_packet(peer);
    else if (!strcmp(api, "seq"))
        n = gnutls_record_recv_seq(peer->session, buffer, sizeof buffer, sequence);
    else
        n = gnutls_record_recv(peer->session, buffer, sizeof buffer);
    if (again(n))
        return 0;
    if (!n)
        die("end of stream");
    if (strcmp(api, "packet"))
        log_read(&peer->end, buffer, (size_t)n);
    return (size_t)n;
}

/* Large messages do not fit into the socket's buffers, so both ends take turns. */
static void transfer(struct peer *from, struct peer *to, const unsigned char *data, size_t size)
{
    size_t sent = 0, received = 0;
    while (received < size) {
        if (sent < size)
            sent += put(from, data, size, sent);
        received += get(to);
    }
}

int main(int argc, char **argv)
{
    unsigned char *data;
    int connections, messages;
    size_t size;
    struct peers peers = {0};
    char name[32];

    begin_gnutls(argc, argv);
    if (argc != 10)
        die("six arguments after the common ones");
    api = argv[4];
    tls13 = !strcmp(argv[5], "1.3");
    peer_settings.priority = tls13 ? TLS13 : TLS12;
    if (!tls13 && !strcmp(api, "range")) /* the only ones that have padding */
        peer_settings.priority = TLS12 ":-CIPHER-ALL:+AES-128-CBC:+AES-256-CBC";
    settings.socketpair = !strcmp(argv[6], "socketpair");
    connections = atoi(argv[7]);
    messages = atoi(argv[8]);
    size = (size_t)atol(argv[9]);
    data = malloc(size + 1);
    for (int c = 0; c < connections; c++) {
        snprintf(name, sizeof name, "%d", c);
        open_peers(&peers, name);
        for (int m = 0; m < messages; m++) {
            fill(data, size, (unsigned)(c * 1000 + m));
            transfer(&peers.client, &peers.server, data, size);
            fill(data, size + 1, (unsigned)(500000 + c * 1000 + m));
            transfer(&peers.server, &peers.client, data, size + 1);
        }
        close_peers(&peers);
    }
    printf("most %zd\n", most);
    free(data);
    return 0;
}
