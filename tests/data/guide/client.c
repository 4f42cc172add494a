/* A client that uses wolfssl.c: one request to itself, and the response. */
#include <sys/socket.h>
#include <unistd.h>

#include <wolfssl/ssl.h>

#define REQUEST "GET /hello HTTP/1.1\r\nHost: example.com\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"

int main(void)
{
    int ends[2];
    char data[4096];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        return 1;
    WOLFSSL *ssl = wolfSSL_new(wolfSSL_CTX_new(wolfSSLv23_client_method()));
    wolfSSL_set_fd(ssl, ends[0]);
    if (wolfSSL_connect(ssl) != 1 || wolfSSL_write(ssl, REQUEST, sizeof(REQUEST) - 1) != sizeof(REQUEST) - 1)
        return 1;
    if (read(ends[1], data, sizeof(data)) <= 0 || write(ends[1], RESPONSE, sizeof(RESPONSE) - 1) < 0)
        return 1;
    if (wolfSSL_read(ssl, data, sizeof(data)) != sizeof(RESPONSE) - 1)
        return 1;
    wolfSSL_free(ssl);
    return 0;
}
