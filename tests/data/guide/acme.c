/* The library of acme.h, which docs/plugins.md shows, without any TLS. */
#include "acme.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default"), noipa))

struct session {
    int socket, handles;
};

struct acme {
    struct session *session;
};

PUBLIC acme *acme_open(int socket)
{
    acme *tls = calloc(1, sizeof(*tls));
    tls->session = calloc(1, sizeof(*tls->session));
    *tls->session = (struct session){socket, 1};
    return tls;
}

PUBLIC acme *acme_share(acme *tls)
{
    acme *other = malloc(sizeof(*other));
    *other = *tls;
    other->session->handles++;
    return other;
}

PUBLIC int acme_handshake(acme *tls)
{
    return tls->session->socket > 0 ? 0 : -1;
}

PUBLIC int acme_version(acme *tls)
{
    return tls->session->socket > 0 ? 0x0304 : 0;
}

PUBLIC int acme_recv(acme *tls, void *buffer, size_t size, int flags)
{
    return (int)recv(tls->session->socket, buffer, size, flags & ACME_PEEK ? MSG_PEEK : 0);
}

__attribute__((noipa)) static int send_record(acme *tls, const void *data, size_t size, size_t *sent)
{
    ssize_t written = write(tls->session->socket, data, size);
    *sent = written < 0 ? 0 : (size_t)written;
    return written >= 0;
}

PUBLIC int acme_send(acme *tls, const void *data, size_t size, size_t *sent)
{
    return send_record(tls, data, size, sent);
}

PUBLIC int acme_print(acme *tls, const char *text)
{
    size_t sent;
    return send_record(tls, text, strlen(text), &sent) && sent == strlen(text);
}

PUBLIC void acme_close(acme *tls)
{
    if (!--tls->session->handles)
        free(tls->session);
    free(tls);
}
