/*
 * late_dlopen LIBSSL PORT REQUEST-FILE RESPONSE-FILE: not linked with any TLS library. Prints "ready PID",
 * waits for a line on stdin, loads LIBSSL, prints "loaded", waits for another line, and only then makes a
 * connection to 127.0.0.1:PORT, sends the request, stores the response and prints "LOCAL-PORT".
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void *library;

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *function(const char *name)
{
    void *found = dlsym(library, name);
    if (!found)
        die(name);
    return found;
}

static void wait_for_line(void)
{
    char line[16];
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        die("stdin ended before the word to go");
}

int main(int argc, char **argv)
{
    char buffer[16384];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    FILE *request, *response;
    void *context, *ssl;
    int n, fd;

    if (argc != 5)
        die("usage: late_dlopen LIBSSL PORT REQUEST-FILE RESPONSE-FILE");
    printf("ready %d\n", getpid());
    wait_for_line();
    library = dlopen(argv[1], RTLD_NOW);
    if (!library)
        die(dlerror());
    printf("loaded\n");
    wait_for_line();

    void *(*method)(void) = function("TLS_client_method");
    void *(*ctx_new)(void *) = function("SSL_CTX_new");
    void *(*ssl_new)(void *) = function("SSL_new");
    int (*set_fd)(void *, int) = function("SSL_set_fd");
    int (*tls_connect)(void *) = function("SSL_connect");
    int (*tls_write)(void *, const void *, int) = function("SSL_write");
    int (*tls_read)(void *, void *, int) = function("SSL_read");

    address.sin_port = htons((unsigned short)atoi(argv[2]));
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        die("connect");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));

    context = ctx_new(method());
    ssl = ssl_new(context);
    set_fd(ssl, fd);
    if (tls_connect(ssl) != 1)
        die("SSL_connect");
    request = fopen(argv[3], "rb");
    response = fopen(argv[4], "wb");
    if (!request || !response)
        die("can't open the files");
    n = (int)fread(buffer, 1, sizeof buffer, request);
    if (tls_write(ssl, buffer, n) != n)
        die("SSL_write");
    while ((n = tls_read(ssl, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t)n, response);
    fclose(response);
    return 0;
}
