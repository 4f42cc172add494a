/*
 * nss_calls ... VERSION WHAT...: one connection, over which the named operations go, one after another:
 *
 *     read    PR_Write, read with PR_Read
 *     recv    PR_Send, read with PR_Recv
 *     peek    PR_Recv with PR_MSG_PEEK, of all and of a part, before and between PR_Recv and PR_Read
 *     writev  PR_Writev of pieces, one empty and one larger than a record
 *     file    PR_TransmitFile
 *     large   one PR_Send of 300,000 bytes, which takes many calls
 *     plain   a file, a pipe and a plain TCP connection, with the same functions: none of it is TLS
 *     end     PR_Shutdown, and a read that returns 0
 *     wait    nothing: it prints "waiting" and waits for a line on stdin
 *
 * VERSION: 1.2 or 1.3. When the connection is closed, it prints "closed" and lives on until stdin ends.
 */
#include "nss_pair.h"

#define LARGE 300000

static void use_read(struct pair *pair)
{
    send_all(&pair->client, "written, then read", 18);
    receive_all(&pair->server, 18);
    send_all(&pair->server, "written and read the other way", 30);
    receive_all(&pair->client, 30);
}

static void receive(struct end *end, size_t size)
{
    char buffer[16384];
    while (size) {
        PRInt32 wanted = (PRInt32)(size < sizeof buffer ? size : sizeof buffer);
        PRInt32 n = moved(PR_Recv(end->fd, buffer, wanted, 0, PR_INTERVAL_NO_TIMEOUT));
        log_read(end, buffer, (size_t)n);
        size -= (size_t)n;
    }
}

static void use_recv(struct pair *pair)
{
    static const char data[] = "sent, then received";
    if (PR_Send(pair->server.fd, data, strlen(data), 0, PR_INTERVAL_NO_TIMEOUT) != (PRInt32)strlen(data))
        die("PR_Send");
    log_write(&pair->server, data, strlen(data));
    receive(&pair->client, strlen(data));
}

static void peek(struct end *end, const char *expected, PRInt32 size)
{
    char buffer[256];
    PRInt32 n;
    while (!(n = moved(PR_Recv(end->fd, buffer, size, PR_MSG_PEEK, PR_INTERVAL_NO_TIMEOUT))))
        ;
    if (n != size || memcmp(buffer, expected, (size_t)n))
        die("PR_Recv with PR_MSG_PEEK saw %d bytes", n);
}

static void use_peek(struct pair *pair)
{
    static const char data[] = "peeked at in part, read in two pieces";
    send_all(&pair->client, data, strlen(data));
    peek(&pair->server, data, (PRInt32)strlen(data));
    peek(&pair->server, data, 1);
    receive_all(&pair->server, 10);
    peek(&pair->server, data + 10, 5);
    receive(&pair->server, strlen(data) - 10);
}

static void use_writev(struct pair *pair)
{
    static unsigned char large[60000];
    PRIOVec pieces[] = {{(char *)"in pieces,", 10},
                        {(char *)large, 3000},
                        {(char *)"", 0},
                        {(char *)large, sizeof large},
                        {(char *)"in one call", 11}};
    PRInt32 total = 10 + 3000 + (PRInt32)sizeof large + 11;
    fill(large, sizeof large, 3);
    if (PR_Writev(pair->client.fd, pieces, 5, PR_INTERVAL_NO_TIMEOUT) != total)
        die("PR_Writev");
    for (int i = 0; i < 5; i++)
        log_write(&pair->client, pieces[i].iov_base, (size_t)pieces[i].iov_len);
    receive_all(&pair->server, (size_t)total);
}

static PRFileDesc *make_file(const char *name, const char *content)
{
    char path[4096];
    PRFileDesc *file;
    snprintf(path, sizeof path, "%s/%s", settings.directory, name);
    file = PR_Open(path, PR_RDWR | PR_CREATE_FILE | PR_TRUNCATE, 0600);
    if (!file || PR_Write(file, content, (PRInt32)strlen(content)) != (PRInt32)strlen(content) ||
        PR_Seek(file, 0, PR_SEEK_SET) != 0)
        die("%s", path);
    return file;
}

static void use_file(struct pair *pair)
{
    static const char head[] = "before the file: ", content[] = "a file's content, from the disk to TLS";
    PRFileDesc *file = make_file("transmitted", content);
    PRInt32 total = (PRInt32)(strlen(head) + strlen(content));
    PRInt32 n = PR_TransmitFile(pair->server.fd, file, head, (PRInt32)strlen(head), PR_TRANSMITFILE_KEEP_OPEN,
                                PR_INTERVAL_NO_TIMEOUT);
    if (n != total)
        die("PR_TransmitFile returned %d", n);
    log_write(&pair->server, head, strlen(head));
    log_write(&pair->server, content, strlen(content));
    receive_all(&pair->client, (size_t)total);
    PR_Close(file);
}

/* Does not fit into the socket's buffers, so both ends take turns. */
static void use_large(struct pair *pair)
{
    static unsigned char data[LARGE];
    char buffer[20000];
    size_t sent = 0, received = 0;
    fill(data, LARGE, 7);
    while (received < LARGE) {
        PRInt32 n;
        if (sent < LARGE) {
            n = moved(PR_Send(pair->server.fd, data + sent, (PRInt32)(LARGE - sent), 0, PR_INTERVAL_NO_TIMEOUT));
            log_write(&pair->server, data + sent, (size_t)n);
            sent += (size_t)n;
        }
        n = moved(PR_Recv(pair->client.fd, buffer, sizeof buffer, 0, PR_INTERVAL_NO_TIMEOUT));
        log_read(&pair->client, buffer, (size_t)n);
        received += (size_t)n;
    }
}

static void through(PRFileDesc *from, PRFileDesc *to)
{
    char buffer[64];
    if (PR_Write(to, "plain", 5) != 5 || PR_Read(from, buffer, sizeof buffer) != 5)
        die("plain descriptors");
}

static void use_plain(void)
{
    char buffer[64];
    PRIOVec piece = {(char *)"plain", 5};
    PRFileDesc *from, *to, *file = make_file("plain", "plain");
    if (PR_Read(file, buffer, sizeof buffer) != 5)
        die("PR_Read of a file");
    PR_Close(file);
    if (PR_CreatePipe(&from, &to) != PR_SUCCESS)
        die("PR_CreatePipe");
    through(from, to);
    PR_Close(from);
    PR_Close(to);
    connect_sockets(&from, &to);
    through(from, to);
    if (PR_Send(to, "plain", 5, 0, PR_INTERVAL_NO_TIMEOUT) != 5 ||
        PR_Recv(from, buffer, sizeof buffer, PR_MSG_PEEK, PR_INTERVAL_NO_TIMEOUT) != 5 ||
        PR_Recv(from, buffer, sizeof buffer, 0, PR_INTERVAL_NO_TIMEOUT) != 5 ||
        PR_Writev(to, &piece, 1, PR_INTERVAL_NO_TIMEOUT) != 5 || PR_Read(from, buffer, sizeof buffer) != 5)
        die("a plain socket");
    PR_Close(from);
    PR_Close(to);
}

static void use_end(struct pair *pair)
{
    char buffer[64];
    PRInt32 n;
    if (PR_Shutdown(pair->client.fd, PR_SHUTDOWN_SEND) != PR_SUCCESS)
        die("PR_Shutdown");
    while ((n = PR_Recv(pair->server.fd, buffer, sizeof buffer, 0, PR_INTERVAL_NO_TIMEOUT)) < 0)
        moved(n);
    if (n)
        die("%d bytes after the end", n);
}

static void use_wait(void)
{
    int c;
    printf("waiting\n");
    fflush(stdout);
    while ((c = getchar()) != '\n')
        if (c == EOF)
            die("stdin ended");
}

int main(int argc, char **argv)
{
    struct pair pair;
    begin(argc, argv);
    if (argc < 5)
        die("VERSION WHAT... after the common arguments");
    settings.version = version_named(argv[3]);
    open_pair(&pair, "calls");
    for (int i = 4; i < argc; i++) {
        if (!strcmp(argv[i], "read"))
            use_read(&pair);
        else if (!strcmp(argv[i], "recv"))
            use_recv(&pair);
        else if (!strcmp(argv[i], "peek"))
            use_peek(&pair);
        else if (!strcmp(argv[i], "writev"))
            use_writev(&pair);
        else if (!strcmp(argv[i], "file"))
            use_file(&pair);
        else if (!strcmp(argv[i], "large"))
            use_large(&pair);
        else if (!strcmp(argv[i], "plain"))
            use_plain();
        else if (!strcmp(argv[i], "wait"))
            use_wait();
        else if (!strcmp(argv[i], "end"))
            use_end(&pair);
        else
            die("what is %s?", argv[i]);
    }
    close_end(&pair.client);
    close_end(&pair.server);
    printf("closed\n");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
