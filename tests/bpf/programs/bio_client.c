/*
 * bio_client HOST:PORT REQUEST-FILE RESPONSE-FILE: a client that uses BIO_new_ssl_connect, and so never
 * calls SSL_read or SSL_write. Prints "ready PID", waits for a line on stdin, sends the request, stores the
 * response up to the server's end and prints "LOCAL-PORT".
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

int main(int argc, char **argv)
{
    char buffer[16384];
    struct sockaddr_in local;
    socklen_t size = sizeof local;
    FILE *request, *response;
    SSL_CTX *context;
    BIO *bio;
    int n, fd;

    if (argc != 4)
        die("usage: bio_client HOST:PORT REQUEST-FILE RESPONSE-FILE");
    printf("ready %d\n", getpid());
    fflush(stdout);
    if (!fgets(buffer, sizeof buffer, stdin))
        die("stdin ended before the word to go");

    context = SSL_CTX_new(TLS_client_method());
    bio = BIO_new_ssl_connect(context);
    BIO_set_conn_hostname(bio, argv[1]);
    if (BIO_do_connect(bio) != 1 || BIO_do_handshake(bio) != 1)
        die("connect");
    BIO_get_fd(bio, &fd);
    if (getsockname(fd, (struct sockaddr *)&local, &size))
        die("getsockname");
    printf("%d\n", ntohs(local.sin_port));

    request = fopen(argv[2], "rb");
    response = fopen(argv[3], "wb");
    if (!request || !response)
        die("can't open the files");
    n = (int)fread(buffer, 1, sizeof buffer, request);
    if (BIO_write(bio, buffer, n) != n)
        die("BIO_write");
    while ((n = BIO_read(bio, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t)n, response);
    fclose(response);
    BIO_free_all(bio);
    SSL_CTX_free(context);
    return 0;
}
