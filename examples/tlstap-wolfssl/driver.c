/*
 * Plays the scenarios of `tlstap plugins check` with wolfSSL:
 *
 *     gcc -o driver driver.c -I HEADERS -lwolfssl -lpthread
 *     sudo tlstap plugins check wolfssl --program ./driver
 *
 * `tlstap plugins check --protocol` says where tlstap's header is.
 */
#define DRIVER_HAS_RESET
#include <tlstap/conformance/driver.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

static WOLFSSL_CTX *client, *server;

static void driver_begin(const char *certificate, const char *key)
{
    wolfSSL_Init();
    client = wolfSSL_CTX_new(wolfSSLv23_client_method());
    server = wolfSSL_CTX_new(wolfSSLv23_server_method());
    wolfSSL_CTX_set_verify(client, WOLFSSL_VERIFY_NONE, NULL);
    if (wolfSSL_CTX_use_certificate_file(server, certificate, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(server, key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        stop("wolfSSL_CTX_use_certificate_file");
}

static void *driver_new(int socket, bool is_server)
{
    WOLFSSL *ssl = wolfSSL_new(is_server ? server : client);
    wolfSSL_set_fd(ssl, socket);
    return ssl;
}

static void driver_reset(void *handle, int socket, bool is_server)
{
    (void)is_server;
    if (wolfSSL_clear(handle) != WOLFSSL_SUCCESS)
        stop("wolfSSL_clear");
    wolfSSL_set_fd(handle, socket);
}

static long outcome(WOLFSSL *ssl, int result)
{
    if (result > 0)
        return result;
    switch (wolfSSL_get_error(ssl, result)) {
    case WOLFSSL_ERROR_WANT_READ:
    case WOLFSSL_ERROR_WANT_WRITE:
        return DRIVER_AGAIN;
    case WOLFSSL_ERROR_ZERO_RETURN:
        return DRIVER_END;
    default:
        return DRIVER_FAILED;
    }
}

static long driver_handshake(void *handle)
{
    int result = wolfSSL_is_server(handle) ? wolfSSL_accept(handle) : wolfSSL_connect(handle);
    return outcome(handle, result);
}

static long driver_read(void *handle, void *buffer, size_t size)
{
    return outcome(handle, wolfSSL_read(handle, buffer, (int)size));
}

static long driver_write(void *handle, const void *data, size_t size)
{
    return outcome(handle, wolfSSL_write(handle, data, (int)size));
}

static void driver_close(void *handle)
{
    wolfSSL_shutdown(handle);
}

static void driver_free(void *handle)
{
    wolfSSL_free(handle);
}
