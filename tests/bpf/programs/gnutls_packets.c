/*
 * gnutls_packets ... HOW: packets (gnutls_record_recv_packet) are looked into (gnutls_packet_get) in other ways
 * than one after another at once. What was received is recorded when gnutls_record_recv_packet says so. HOW:
 *     twice     each is looked into twice, once also only for its sequence number
 *     held      two are received before they are looked into, in their order
 *     reversed  ... the second one first
 *     partly    the first bytes of a record are read by gnutls_record_recv, the packet is the rest
 *     mixed     packets of two connections are received in turn, and looked into later
 *     never     the second of three is never looked into; its bytes are in DIRECTORY/never
 */
#include "gnutls_pair.h"

#define RECORD 5000

static struct peers peers, others;
static unsigned char data[4 * RECORD];

struct taken {
    struct peer *peer;
    gnutls_packet_t packet;
    size_t size, place; /* place: where its bytes stand in `data` */
};

static struct taken take(struct peer *peer, size_t place)
{
    struct taken taken = {.peer = peer, .place = place};
    ssize_t n;
    while (again(n = gnutls_record_recv_packet(peer->session, &taken.packet)))
        ;
    taken.size = (size_t)n;
    log_read(&peer->end, data + place, taken.size);
    return taken;
}

static void look(const struct taken *taken)
{
    gnutls_datum_t content;
    gnutls_packet_get(taken->packet, &content, NULL);
    if (content.size != taken->size || memcmp(content.data, data + taken->place, content.size))
        die("the packet is not what was sent");
}

static void drop(const struct taken *taken)
{
    gnutls_packet_deinit(taken->packet);
}

static void twice(void)
{
    unsigned char sequence[8];
    for (size_t place = 0; place < sizeof data; place += RECORD) {
        struct taken taken = take(&peers.server, place);
        gnutls_packet_get(taken.packet, NULL, sequence);
        look(&taken);
        look(&taken);
        drop(&taken);
    }
}

static void held(bool reversed)
{
    for (size_t place = 0; place < sizeof data; place += 2 * RECORD) {
        struct taken first = take(&peers.server, place), second = take(&peers.server, place + RECORD);
        look(reversed ? &second : &first);
        look(reversed ? &first : &second);
        drop(&first);
        drop(&second);
    }
}

static void partly(void)
{
    for (size_t place = 0; place < sizeof data; place += RECORD) {
        struct taken taken;
        receive_whole(&peers.server, 700);
        taken = take(&peers.server, place + 700);
        look(&taken);
        drop(&taken);
    }
}

static void mixed(void)
{
    for (size_t place = 0; place < sizeof data; place += RECORD) {
        struct taken one = take(&peers.server, place), other = take(&others.server, place);
        look(&other);
        look(&one);
        drop(&other);
        drop(&one);
    }
}

static void never(void)
{
    FILE *file = open_record(settings.directory, "never", "bytes");
    fwrite(data + RECORD, 1, RECORD, file);
    fclose(file);
    for (size_t place = 0; place < sizeof data; place += RECORD) {
        struct taken taken = take(&peers.server, place);
        if (place != RECORD)
            look(&taken);
        drop(&taken);
    }
}

int main(int argc, char **argv)
{
    const char *how;

    begin_gnutls(argc, argv);
    if (argc != 5)
        die("HOW is missing");
    how = argv[4];
    open_peers(&peers, "packets");
    open_peers(&others, "others");
    fill(data, sizeof data, 5);
    for (size_t place = 0; place < sizeof data; place += RECORD)
        send_whole(&peers.client, data + place, RECORD);
    for (size_t place = 0; !strcmp(how, "mixed") && place < sizeof data; place += RECORD)
        send_whole(&others.client, data + place, RECORD);
    if (!strcmp(how, "twice"))
        twice();
    else if (!strcmp(how, "partly"))
        partly();
    else if (!strcmp(how, "mixed"))
        mixed();
    else if (!strcmp(how, "never"))
        never();
    else
        held(!strcmp(how, "reversed"));
    send_whole(&peers.client, "end", 3);
    receive_whole(&peers.server, 3);
    close_peers(&peers);
    close_peers(&others);
    return 0;
}
