/*
 * What the NSS test programs share: a TLS client and a TLS server in one process, and a record of what each
 * end really moved.
 *
 * Every program is started as
 *     PROGRAM DIRECTORY DATABASE [its own arguments]
 * with a database that holds the server's certificate and key, by the name "server", and prints "NAME
 * LOCAL-PORT REMOTE-PORT" for each end. The rest is in recording.h.
 */
#ifndef NSS_PAIR_H
#define NSS_PAIR_H

#include "recording.h"

#include <cert.h>
#include <keyhi.h>
#include <nspr.h>
#include <nss.h>
#include <pk11pub.h>
#include <ssl.h>
#include <sslproto.h>

struct settings {
    const char *directory, *database;
    PRUint16 version; /* 0 or an SSL_LIBRARY_VERSION_TLS_ */
    bool blocking;
};

struct end {
    char name[64];
    PRFileDesc *fd;
    void *secret; /* of the TLS layer */
    struct records records;
};

struct pair {
    struct end client, server;
};

static struct settings settings;

static void explain(void)
{
    fprintf(stderr, "NSPR's error is %d (%s)\n", PR_GetError(), PR_ErrorToName(PR_GetError()));
}

__attribute__((unused)) static PRUint16 version_named(const char *name)
{
    return strcmp(name, "1.2") ? SSL_LIBRARY_VERSION_TLS_1_3 : SSL_LIBRARY_VERSION_TLS_1_2;
}

/* Take the common arguments, say that the program is ready and wait for the word to go. */
__attribute__((unused)) static void begin(int argc, char **argv)
{
    if (argc < 3)
        die("usage: %s DIRECTORY DATABASE [...]", argv[0]);
    settings.directory = argv[1];
    settings.database = argv[2];
    wait_for_the_word();
    if (NSS_Init(settings.database) != SECSuccess || NSS_SetDomesticPolicy() != SECSuccess)
        die("NSS_Init");
}

__attribute__((unused)) static void log_read(struct end *end, const void *data, size_t size)
{
    fwrite(data, 1, size, end->records.read);
}

__attribute__((unused)) static void log_write(struct end *end, const void *data, size_t size)
{
    fwrite(data, 1, size, end->records.write);
}

static void make_nonblocking(PRFileDesc *fd)
{
    PRSocketOptionData option = {.option = PR_SockOpt_Nonblocking, .value.non_blocking = PR_TRUE};
    if (PR_SetSocketOption(fd, &option) != PR_SUCCESS)
        die("PR_SetSocketOption");
}

/* Two plain sockets, connected over 127.0.0.1. */
__attribute__((unused)) static void connect_sockets(PRFileDesc **client, PRFileDesc **server)
{
    PRFileDesc *listener = PR_NewTCPSocket();
    PRNetAddr address;
    PR_InitializeNetAddr(PR_IpAddrLoopback, 0, &address);
    *client = PR_NewTCPSocket();
    if (PR_Bind(listener, &address) != PR_SUCCESS || PR_Listen(listener, 1) != PR_SUCCESS ||
        PR_GetSockName(listener, &address) != PR_SUCCESS ||
        PR_Connect(*client, &address, PR_INTERVAL_NO_TIMEOUT) != PR_SUCCESS)
        die("PR_Connect");
    *server = PR_Accept(listener, NULL, PR_INTERVAL_NO_TIMEOUT);
    if (!*server)
        die("PR_Accept");
    PR_Close(listener);
    if (!settings.blocking) {
        make_nonblocking(*client);
        make_nonblocking(*server);
    }
}

static SECStatus accept_any(void *argument, PRFileDesc *fd, PRBool check, PRBool server)
{
    (void)argument;
    (void)fd;
    (void)check;
    (void)server;
    return SECSuccess;
}

static PRFileDesc *import(PRFileDesc *plain, bool server)
{
    PRFileDesc *fd = SSL_ImportFD(NULL, plain);
    if (!fd || SSL_OptionSet(fd, SSL_SECURITY, PR_TRUE) != SECSuccess ||
        SSL_OptionSet(fd, server ? SSL_HANDSHAKE_AS_SERVER : SSL_HANDSHAKE_AS_CLIENT, PR_TRUE) != SECSuccess ||
        SSL_OptionSet(fd, SSL_ENABLE_FDX, PR_TRUE) != SECSuccess ||
        SSL_OptionSet(fd, SSL_NO_CACHE, PR_TRUE) != SECSuccess)
        die("SSL_ImportFD");
    if (settings.version) {
        SSLVersionRange range = {settings.version, settings.version};
        SSL_VersionRangeSet(fd, &range);
    }
    if (server) {
        CERTCertificate *certificate = PK11_FindCertFromNickname("server", NULL);
        SECKEYPrivateKey *key = certificate ? PK11_FindKeyByAnyCert(certificate, NULL) : NULL;
        if (!key || SSL_ConfigServerCert(fd, certificate, key, NULL, 0) != SECSuccess)
            die("SSL_ConfigServerCert");
        CERT_DestroyCertificate(certificate);
        SECKEY_DestroyPrivateKey(key);
    } else {
        SSL_AuthCertificateHook(fd, accept_any, NULL);
        SSL_SetURL(fd, "localhost");
    }
    if (SSL_ResetHandshake(fd, server) != SECSuccess)
        die("SSL_ResetHandshake");
    return fd;
}

/* Begin an end: its TLS layer and its records. `fd` takes the plain socket over. */
__attribute__((unused)) static void open_end(struct end *end, PRFileDesc *plain, bool server, const char *name)
{
    PRNetAddr local, remote;
    snprintf(end->name, sizeof end->name, "%s-%s", name, server ? "server" : "client");
    if (PR_GetSockName(plain, &local) != PR_SUCCESS || PR_GetPeerName(plain, &remote) != PR_SUCCESS)
        die("PR_GetSockName");
    printf("%s %d %d\n", end->name, PR_ntohs(local.inet.port), PR_ntohs(remote.inet.port));
    fflush(stdout);
    end->fd = import(plain, server);
    end->secret = end->fd->secret;
    open_records(&end->records, settings.directory, end->name);
}

/* The result of an operation; 0 if it has to be made again. */
__attribute__((unused)) static PRInt32 moved(PRInt32 result)
{
    if (result < 0 && PR_GetError() != PR_WOULD_BLOCK_ERROR)
        die("TLS operation failed");
    return result < 0 ? 0 : result;
}

/* Both handshakes, turn by turn in this one thread. */
__attribute__((unused)) static void handshake(struct pair *pair)
{
    bool client = false, server = false;
    while (!client || !server) {
        if (!client && !(client = SSL_ForceHandshake(pair->client.fd) == SECSuccess))
            moved(-1);
        if (!server && !(server = SSL_ForceHandshake(pair->server.fd) == SECSuccess))
            moved(-1);
    }
}

/* A new connection with its handshake done; for sockets that don't block. `name` must be unique. */
__attribute__((unused)) static void open_pair(struct pair *pair, const char *name)
{
    PRFileDesc *client, *server;
    connect_sockets(&client, &server);
    open_end(&pair->client, client, false, name);
    open_end(&pair->server, server, true, name);
    handshake(pair);
}

__attribute__((unused)) static void close_end(struct end *end)
{
    PR_Close(end->fd);
    close_records(&end->records);
}

/* Write all of it with PR_Write; it must fit into the socket's buffers. */
__attribute__((unused)) static void send_all(struct end *end, const void *data, size_t size)
{
    PRInt32 written = PR_Write(end->fd, data, (PRInt32)size);
    if (written != (PRInt32)size)
        die("PR_Write returned %d, not %zu", written, size);
    log_write(end, data, size);
}

/* Read exactly `size` bytes with PR_Read. */
__attribute__((unused)) static void receive_all(struct end *end, size_t size)
{
    char buffer[16384];
    while (size) {
        PRInt32 n = moved(PR_Read(end->fd, buffer, (PRInt32)(size < sizeof buffer ? size : sizeof buffer)));
        log_read(end, buffer, (size_t)n);
        size -= (size_t)n;
    }
}

#endif
