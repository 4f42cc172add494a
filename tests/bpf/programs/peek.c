/*
 * peek: SSL_peek and SSL_peek_ex look at bytes that a later SSL_read returns again. Each byte of the stream
 * counts once.
 */
#include "pair.h"

int main(int argc, char **argv)
{
    static const char first[] = "peeked at twice, read once";
    static const char second[] = "peeked at in part, read in two pieces";
    struct pair pair;
    char buffer[256];
    size_t peeked;
    int n;

    begin(argc, argv);
    open_pair(&pair, make_context(false), make_context(true), "peek");

    send_all(&pair.client, first, strlen(first));
    while (!done(pair.server.ssl, n = SSL_peek(pair.server.ssl, buffer, sizeof buffer)))
        ;
    if (n != (int)strlen(first) || memcmp(buffer, first, strlen(first)))
        die("SSL_peek saw %d bytes", n);
    if (SSL_peek_ex(pair.server.ssl, buffer, sizeof buffer, &peeked) != 1 || peeked != strlen(first))
        die("SSL_peek_ex");
    receive_all(&pair.server, strlen(first));

    send_all(&pair.client, second, strlen(second));
    while (!done(pair.server.ssl, n = SSL_peek(pair.server.ssl, buffer, 7)))
        ;
    receive_all(&pair.server, 10);
    if (SSL_peek_ex(pair.server.ssl, buffer, 5, &peeked) != 1 || peeked != 5)
        die("SSL_peek_ex of the rest");
    receive_all(&pair.server, strlen(second) - 10);

    close_pair(&pair);
    return 0;
}
