/*
 * nss_layers ... CONNECTIONS: connections one after another with a layer of the application's own on top of
 * TLS, as Firefox has it. Pushing it swaps the contents of two descriptors, so the pointer that SSL_ImportFD
 * returned is the application's layer then. Every other connection is closed through that layer, the others
 * after it was popped. Prints "same N": how often a TLS layer's secret was that of an earlier connection.
 */
#include "nss_pair.h"

static PRIOMethods methods;
static PRDescIdentity identity;

static PRInt32 own_read(PRFileDesc *fd, void *buffer, PRInt32 size)
{
    return fd->lower->methods->recv(fd->lower, buffer, size, 0, PR_INTERVAL_NO_TIMEOUT);
}

static PRInt32 own_write(PRFileDesc *fd, const void *buffer, PRInt32 size)
{
    return fd->lower->methods->send(fd->lower, buffer, size, 0, PR_INTERVAL_NO_TIMEOUT);
}

static void push(struct end *end)
{
    PRFileDesc *layer = PR_CreateIOLayerStub(identity, &methods);
    layer->secret = (PRFilePrivate *)&methods;
    if (PR_PushIOLayer(end->fd, PR_TOP_IO_LAYER, layer) != PR_SUCCESS || end->fd->secret == end->secret ||
        end->fd->lower->secret != end->secret)
        die("PR_PushIOLayer");
}

static void pop(struct end *end)
{
    PRFileDesc *layer = PR_PopIOLayer(end->fd, PR_TOP_IO_LAYER);
    layer->dtor(layer);
}

int main(int argc, char **argv)
{
    void *secrets[200];
    int connections, same = 0;
    char name[32];

    begin(argc, argv);
    connections = argc == 4 ? atoi(argv[3]) : 0;
    if (connections < 1 || connections > 100)
        die("CONNECTIONS after the common arguments");
    methods = *PR_GetDefaultIOMethods();
    methods.read = own_read;
    methods.write = own_write;
    identity = PR_GetUniqueIdentity("the application's own");
    for (int c = 0; c < connections; c++) {
        struct pair pair;
        PRFileDesc *client, *server;
        connect_sockets(&client, &server);
        snprintf(name, sizeof name, "layers%d", c);
        open_end(&pair.client, client, false, name);
        open_end(&pair.server, server, true, name);
        push(&pair.client);
        handshake(&pair);
        for (int m = 0; m < 3; m++) {
            char text[64];
            size_t size = (size_t)snprintf(text, sizeof text, "message %d of connection %d", m, c);
            send_all(&pair.client, text, size);
            receive_all(&pair.server, size);
            send_all(&pair.server, text, size - 2);
            receive_all(&pair.client, size - 2);
        }
        for (int i = 0; i < 2 * c; i++)
            same += secrets[i] == pair.client.secret || secrets[i] == pair.server.secret;
        secrets[2 * c] = pair.client.secret;
        secrets[2 * c + 1] = pair.server.secret;
        if (c % 2)
            pop(&pair.client);
        close_end(&pair.client);
        close_end(&pair.server);
    }
    printf("same %d\n", same);
    return 0;
}
