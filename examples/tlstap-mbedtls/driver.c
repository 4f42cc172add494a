/*
 * Plays the scenarios of `tlstap plugins check` with Mbed TLS:
 *
 *     gcc -o driver driver.c -I HEADERS -lmbedtls -lmbedx509 -lmbedcrypto -lpthread
 *     sudo tlstap plugins check mbedtls --program ./driver
 *
 * `tlstap plugins check --protocol` says where tlstap's header is.
 */
#define DRIVER_HAS_RESET
#include <tlstap/conformance/driver.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>

struct end_of_connection {
    mbedtls_ssl_context ssl; /* first: its address is the handle */
    mbedtls_net_context net;
};

static mbedtls_ssl_config client, server;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context random_numbers;
static mbedtls_x509_crt chain;
static mbedtls_pk_context private_key;

static void must(int result, const char *what)
{
    if (result)
        stop(what);
}

static void configure(mbedtls_ssl_config *config, int which)
{
    mbedtls_ssl_config_init(config);
    must(mbedtls_ssl_config_defaults(config, which, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
         "mbedtls_ssl_config_defaults");
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &random_numbers);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);
}

static void driver_begin(const char *certificate, const char *key)
{
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random_numbers);
    mbedtls_x509_crt_init(&chain);
    mbedtls_pk_init(&private_key);
    must(mbedtls_ctr_drbg_seed(&random_numbers, mbedtls_entropy_func, &entropy, NULL, 0), "mbedtls_ctr_drbg_seed");
    must(mbedtls_x509_crt_parse_file(&chain, certificate), "mbedtls_x509_crt_parse_file");
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    must(mbedtls_pk_parse_keyfile(&private_key, key, NULL), "mbedtls_pk_parse_keyfile");
#else
    must(mbedtls_pk_parse_keyfile(&private_key, key, NULL, mbedtls_ctr_drbg_random, &random_numbers),
         "mbedtls_pk_parse_keyfile");
#endif
    configure(&client, MBEDTLS_SSL_IS_CLIENT);
    configure(&server, MBEDTLS_SSL_IS_SERVER);
    must(mbedtls_ssl_conf_own_cert(&server, &chain, &private_key), "mbedtls_ssl_conf_own_cert");
}

static void *driver_new(int socket, bool is_server)
{
    struct end_of_connection *end = memory(sizeof *end);
    end->net.fd = socket;
    mbedtls_ssl_init(&end->ssl);
    must(mbedtls_ssl_setup(&end->ssl, is_server ? &server : &client), "mbedtls_ssl_setup");
    mbedtls_ssl_set_bio(&end->ssl, &end->net, mbedtls_net_send, mbedtls_net_recv, NULL);
    return end;
}

static void driver_reset(void *handle, int socket, bool is_server)
{
    struct end_of_connection *end = handle;
    (void)is_server;
    must(mbedtls_ssl_session_reset(&end->ssl), "mbedtls_ssl_session_reset");
    end->net.fd = socket;
}

static long outcome(int result)
{
    switch (result) {
    case MBEDTLS_ERR_SSL_WANT_READ:
    case MBEDTLS_ERR_SSL_WANT_WRITE:
        return DRIVER_AGAIN;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return DRIVER_END;
    default:
        return result < 0 ? DRIVER_FAILED : result;
    }
}

static long driver_handshake(void *handle)
{
    int result = mbedtls_ssl_handshake(handle);
    return result ? outcome(result) : 1;
}

static long driver_read(void *handle, void *buffer, size_t size)
{
    return outcome(mbedtls_ssl_read(handle, buffer, size));
}

static long driver_write(void *handle, const void *data, size_t size)
{
    return outcome(mbedtls_ssl_write(handle, data, size));
}

static void driver_close(void *handle)
{
    mbedtls_ssl_close_notify(handle);
}

static void driver_free(void *handle)
{
    mbedtls_ssl_free(handle);
    free(handle);
}
