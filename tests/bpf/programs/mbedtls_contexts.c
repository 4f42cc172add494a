/*
 * mbedtls_contexts: one context for each end, in static memory, for several connections: reset between them,
 * reset after a handshake that failed, freed and made anew. Messages are larger than the sockets' buffers, so
 * writes are refused and repeated. Prints "retried N": how many were.
 */
#include "pair.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#define SIZE 300000

struct peer {
    struct end end; /* name, socket and records; its SSL is not used */
    mbedtls_ssl_config configuration;
    mbedtls_ssl_context ssl;
};

static struct peer client, server;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context generator;
static mbedtls_x509_crt certificate;
static mbedtls_pk_context key;
static unsigned char message[SIZE];
static int retried;

static void must(int result, const char *what)
{
    if (result)
        die("%s: -0x%x", what, -result);
}

/* Whether the call has to be made again; other errors are the end. */
static bool again(int result)
{
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
        return true;
    if (result < 0)
        die("TLS operation: -0x%x", -result);
    return false;
}

static void make_credentials(void)
{
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&generator);
    must(mbedtls_ctr_drbg_seed(&generator, mbedtls_entropy_func, &entropy, NULL, 0), "mbedtls_ctr_drbg_seed");
    mbedtls_x509_crt_init(&certificate);
    must(mbedtls_x509_crt_parse_file(&certificate, settings.certificate), settings.certificate);
    mbedtls_pk_init(&key);
#if MBEDTLS_VERSION_MAJOR >= 3
    must(psa_crypto_init(), "psa_crypto_init");
    must(mbedtls_pk_parse_keyfile(&key, settings.key, NULL, mbedtls_ctr_drbg_random, &generator), settings.key);
#else
    must(mbedtls_pk_parse_keyfile(&key, settings.key, NULL), settings.key);
#endif
}

static void configure(struct peer *peer, int end)
{
    mbedtls_ssl_config_init(&peer->configuration);
    must(mbedtls_ssl_config_defaults(&peer->configuration, end, MBEDTLS_SSL_TRANSPORT_STREAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT),
         "mbedtls_ssl_config_defaults");
    mbedtls_ssl_conf_rng(&peer->configuration, mbedtls_ctr_drbg_random, &generator);
    mbedtls_ssl_conf_authmode(&peer->configuration, MBEDTLS_SSL_VERIFY_NONE);
    if (end == MBEDTLS_SSL_IS_SERVER)
        must(mbedtls_ssl_conf_own_cert(&peer->configuration, &certificate, &key), "mbedtls_ssl_conf_own_cert");
}

static void make(struct peer *peer)
{
    mbedtls_ssl_init(&peer->ssl);
    must(mbedtls_ssl_setup(&peer->ssl, &peer->configuration), "mbedtls_ssl_setup");
    mbedtls_ssl_set_bio(&peer->ssl, &peer->end.fd, mbedtls_net_send, mbedtls_net_recv, NULL);
    if (peer == &client)
        must(mbedtls_ssl_set_hostname(&peer->ssl, "localhost"), "mbedtls_ssl_set_hostname");
}

static void reset(void)
{
    must(mbedtls_ssl_session_reset(&client.ssl), "mbedtls_ssl_session_reset");
    must(mbedtls_ssl_session_reset(&server.ssl), "mbedtls_ssl_session_reset");
}

static void join(void)
{
    struct pair sockets;
    int size = 8192;
    connect_sockets(&sockets);
    client.end.fd = sockets.client.fd;
    server.end.fd = sockets.server.fd;
    setsockopt(client.end.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(server.end.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Neither end gets anything that is TLS. */
static void fail(void)
{
    const char *ends = "this is not TLS, so it ends here";
    join();
    if (write(client.end.fd, ends, strlen(ends)) < 0 || write(server.end.fd, ends, strlen(ends)) < 0)
        die("write: %s", strerror(errno));
    while (mbedtls_ssl_handshake(&server.ssl) == MBEDTLS_ERR_SSL_WANT_READ)
        ;
    while (mbedtls_ssl_handshake(&client.ssl) == MBEDTLS_ERR_SSL_WANT_READ)
        ;
    close(client.end.fd);
    close(server.end.fd);
}

static void send_message(struct peer *from, struct peer *to, unsigned seed)
{
    unsigned char buffer[5000];
    size_t sent = 0, received = 0;
    fill(message, SIZE, seed);
    while (received < SIZE) {
        int n = sent < SIZE ? mbedtls_ssl_write(&from->ssl, message + sent, SIZE - sent) : 0;
        if (again(n)) {
            retried++;
        } else {
            log_write(&from->end, message + sent, (size_t)n);
            sent += (size_t)n;
        }
        n = mbedtls_ssl_read(&to->ssl, buffer, sizeof buffer);
        if (again(n))
            continue;
        log_read(&to->end, buffer, (size_t)n);
        received += (size_t)n;
    }
}

static void converse(const char *name, unsigned seed)
{
    bool client_done = false, server_done = false;
    char byte;
    int n;

    join();
    name_end(&client.end, "%s-client", name);
    name_end(&server.end, "%s-server", name);
    print_ports(&client.end);
    print_ports(&server.end);
    while (!client_done || !server_done) {
        client_done = client_done || !again(mbedtls_ssl_handshake(&client.ssl));
        server_done = server_done || !again(mbedtls_ssl_handshake(&server.ssl));
    }
    send_message(&client, &server, seed);
    send_message(&server, &client, seed + 1);
    while (again(mbedtls_ssl_close_notify(&client.ssl)))
        ;
    while ((n = mbedtls_ssl_read(&server.ssl, (unsigned char *)&byte, 1)) == MBEDTLS_ERR_SSL_WANT_READ)
        ;
    if (n != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        die("the end was expected: %d", n);
    close(client.end.fd);
    close(server.end.fd);
    close_records(&client.end.records);
    close_records(&server.end.records);
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    make_credentials();
    configure(&client, MBEDTLS_SSL_IS_CLIENT);
    configure(&server, MBEDTLS_SSL_IS_SERVER);
    make(&client);
    make(&server);
    converse("first", 1);
    reset();
    converse("reset", 3);
    reset();
    fail();
    reset();
    converse("after-failure", 5);
    mbedtls_ssl_free(&client.ssl);
    mbedtls_ssl_free(&server.ssl);
    make(&client);
    make(&server);
    converse("anew", 7);
    mbedtls_ssl_free(&client.ssl);
    mbedtls_ssl_free(&server.ssl);
    printf("retried %d\n", retried);
    return 0;
}
