/* The driver for OpenSSL, and, with its headers, for BoringSSL. */
#define DRIVER_HAS_RESET
#include <tlstap/conformance/driver.h>

#include <openssl/ssl.h>

static SSL_CTX *client, *server;

static void driver_begin(const char *certificate, const char *key)
{
    client = SSL_CTX_new(TLS_client_method());
    server = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(server, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(server, key, SSL_FILETYPE_PEM) != 1)
        stop("SSL_CTX_use_certificate_chain_file");
}

static void begin(SSL *ssl, int socket, bool is_server)
{
    SSL_set_fd(ssl, socket);
    if (is_server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
}

static void *driver_new(int socket, bool is_server)
{
    SSL *ssl = SSL_new(is_server ? server : client);
    begin(ssl, socket, is_server);
    return ssl;
}

static void driver_reset(void *handle, int socket, bool is_server)
{
    SSL_clear(handle);
    SSL_set_session(handle, NULL);
    begin(handle, socket, is_server);
}

static long outcome(SSL *ssl, int result)
{
    if (result > 0)
        return result;
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return DRIVER_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return DRIVER_END;
    default:
        return DRIVER_FAILED;
    }
}

static long driver_handshake(void *handle)
{
    return outcome(handle, SSL_do_handshake(handle));
}

static long driver_read(void *handle, void *buffer, size_t size)
{
    return outcome(handle, SSL_read(handle, buffer, (int)size));
}

static long driver_write(void *handle, const void *data, size_t size)
{
    return outcome(handle, SSL_write(handle, data, (int)size));
}

static void driver_close(void *handle)
{
    SSL_shutdown(handle);
}

static void driver_free(void *handle)
{
    SSL_free(handle);
}
