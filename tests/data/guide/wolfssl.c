/* Functions with the names and arguments of wolfSSL's, without any TLS: what docs/plugins.md traces. */
#include <wolfssl/ssl.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default"), noipa))

struct WOLFSSL {
    int socket, error;
    bool is_server, established;
};

struct WOLFSSL_METHOD {
    bool is_server;
};

struct WOLFSSL_CTX {
    bool is_server;
};

static WOLFSSL_METHOD client_method, server_method = {true};

PUBLIC int wolfSSL_Init(void)
{
    return 1;
}

PUBLIC WOLFSSL_METHOD *wolfSSLv23_client_method(void)
{
    return &client_method;
}

PUBLIC WOLFSSL_METHOD *wolfSSLv23_server_method(void)
{
    return &server_method;
}

PUBLIC WOLFSSL_CTX *wolfSSL_CTX_new(WOLFSSL_METHOD *method)
{
    WOLFSSL_CTX *context = malloc(sizeof(*context));
    context->is_server = method->is_server;
    return context;
}

PUBLIC void wolfSSL_CTX_set_verify(WOLFSSL_CTX *context, int mode, void *callback)
{
    (void)context, (void)mode, (void)callback;
}

PUBLIC int wolfSSL_CTX_use_certificate_chain_file(WOLFSSL_CTX *context, const char *path)
{
    return context && !access(path, R_OK);
}

PUBLIC int wolfSSL_CTX_use_PrivateKey_file(WOLFSSL_CTX *context, const char *path, int type)
{
    return context && type == WOLFSSL_FILETYPE_PEM && !access(path, R_OK);
}

PUBLIC WOLFSSL *wolfSSL_new(WOLFSSL_CTX *context)
{
    WOLFSSL *ssl = calloc(1, sizeof(*ssl));
    ssl->is_server = context->is_server;
    return ssl;
}

PUBLIC int wolfSSL_set_fd(WOLFSSL *ssl, int socket)
{
    ssl->socket = socket;
    return 1;
}

PUBLIC int wolfSSL_connect(WOLFSSL *ssl)
{
    ssl->established = true;
    return 1;
}

PUBLIC int wolfSSL_accept(WOLFSSL *ssl)
{
    ssl->established = true;
    return 1;
}

PUBLIC int wolfSSL_connect_TLSv13(WOLFSSL *ssl)
{
    ssl->established = true;
    return 1;
}

PUBLIC int wolfSSL_accept_TLSv13(WOLFSSL *ssl)
{
    ssl->established = true;
    return 1;
}

PUBLIC int wolfSSL_negotiate(WOLFSSL *ssl)
{
    return ssl->is_server ? wolfSSL_accept_TLSv13(ssl) : wolfSSL_connect_TLSv13(ssl);
}

static int outcome(WOLFSSL *ssl, ssize_t moved, int again)
{
    ssl->error = moved > 0 ? 0 : moved == 0 ? WOLFSSL_ERROR_ZERO_RETURN : errno == EAGAIN ? again : -1;
    return (int)moved;
}

PUBLIC int wolfSSL_peek(WOLFSSL *ssl, void *data, int size)
{
    return outcome(ssl, recv(ssl->socket, data, (size_t)size, MSG_PEEK), WOLFSSL_ERROR_WANT_READ);
}

PUBLIC int wolfSSL_read(WOLFSSL *ssl, void *data, int size)
{
    return outcome(ssl, read(ssl->socket, data, (size_t)size), WOLFSSL_ERROR_WANT_READ);
}

PUBLIC int wolfSSL_write(WOLFSSL *ssl, const void *data, int size)
{
    if (!ssl->established) {
        ssl->error = WOLFSSL_ERROR_WANT_READ;
        return -1;
    }
    return outcome(ssl, write(ssl->socket, data, (size_t)size), WOLFSSL_ERROR_WANT_WRITE);
}

PUBLIC int wolfSSL_shutdown(WOLFSSL *ssl)
{
    return shutdown(ssl->socket, SHUT_WR) == 0;
}

PUBLIC int wolfSSL_get_error(WOLFSSL *ssl, int result)
{
    return result > 0 ? 0 : ssl->error;
}

PUBLIC void wolfSSL_free(WOLFSSL *ssl)
{
    free(ssl);
}
