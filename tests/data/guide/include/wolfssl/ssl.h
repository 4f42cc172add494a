/* What docs/plugins.md uses of wolfSSL's header of this name, for the stand-in of wolfssl.c. */
#pragma once

typedef struct WOLFSSL WOLFSSL;
typedef struct WOLFSSL_CTX WOLFSSL_CTX;
typedef struct WOLFSSL_METHOD WOLFSSL_METHOD;

#define WOLFSSL_ERROR_WANT_READ 2
#define WOLFSSL_ERROR_WANT_WRITE 3
#define WOLFSSL_ERROR_ZERO_RETURN 6
#define WOLFSSL_FILETYPE_PEM 1
#define WOLFSSL_VERIFY_NONE 0

int wolfSSL_Init(void);
WOLFSSL_METHOD *wolfSSLv23_client_method(void);
WOLFSSL_METHOD *wolfSSLv23_server_method(void);
WOLFSSL_CTX *wolfSSL_CTX_new(WOLFSSL_METHOD *method);
void wolfSSL_CTX_set_verify(WOLFSSL_CTX *context, int mode, void *callback);
int wolfSSL_CTX_use_certificate_chain_file(WOLFSSL_CTX *context, const char *path);
int wolfSSL_CTX_use_PrivateKey_file(WOLFSSL_CTX *context, const char *path, int type);

WOLFSSL *wolfSSL_new(WOLFSSL_CTX *context);
int wolfSSL_set_fd(WOLFSSL *ssl, int socket);
int wolfSSL_connect(WOLFSSL *ssl);
int wolfSSL_accept(WOLFSSL *ssl);
int wolfSSL_connect_TLSv13(WOLFSSL *ssl);
int wolfSSL_accept_TLSv13(WOLFSSL *ssl);
int wolfSSL_negotiate(WOLFSSL *ssl);
int wolfSSL_peek(WOLFSSL *ssl, void *data, int size);
int wolfSSL_read(WOLFSSL *ssl, void *data, int size);
int wolfSSL_write(WOLFSSL *ssl, const void *data, int size);
int wolfSSL_shutdown(WOLFSSL *ssl);
int wolfSSL_get_error(WOLFSSL *ssl, int result);
void wolfSSL_free(WOLFSSL *ssl);
