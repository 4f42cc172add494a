/* A client that uses acme.c in every way that its header allows. */
#include "acme.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD "GET /hello HTTP/1.1\r\n"
#define REST "Host: example.com\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"

int main(void)
{
    int ends[2];
    char data[4096];
    size_t sent;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        return 1;
    acme *tls = acme_open(ends[0]);
    acme *writer = acme_share(tls);
    if (acme_handshake(tls) || acme_version(tls) != 0x0304)
        return 1;
    if (acme_send(writer, HEAD, strlen(HEAD), &sent) != 1 || sent != strlen(HEAD) || !acme_print(writer, REST))
        return 1;
    acme_close(writer);
    if (read(ends[1], data, sizeof(data)) <= 0 || write(ends[1], RESPONSE, strlen(RESPONSE)) < 0)
        return 1;
    if (acme_recv(tls, data, 16, ACME_PEEK) != 16)
        return 1;
    if (acme_recv(tls, data, sizeof(data), 0) != (int)strlen(RESPONSE))
        return 1;
    acme_close(tls);
    return 0;
}
