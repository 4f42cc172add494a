/* The driver for GnuTLS. */
#include <tlstap/conformance/driver.h>

#include <gnutls/gnutls.h>

static gnutls_certificate_credentials_t client, server;

static void driver_begin(const char *certificate, const char *key)
{
    gnutls_certificate_allocate_credentials(&client);
    gnutls_certificate_allocate_credentials(&server);
    if (gnutls_certificate_set_x509_key_file(server, certificate, key, GNUTLS_X509_FMT_PEM) < 0)
        stop("gnutls_certificate_set_x509_key_file");
}

static void *driver_new(int socket, bool is_server)
{
    gnutls_session_t session;
    if (gnutls_init(&session, (is_server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK) < 0)
        stop("gnutls_init");
    gnutls_set_default_priority(session);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, is_server ? server : client);
    gnutls_transport_set_int(session, socket);
    return session;
}

static long outcome(ssize_t result)
{
    if (result >= 0)
        return result;
    return gnutls_error_is_fatal((int)result) ? DRIVER_FAILED : DRIVER_AGAIN;
}

static long driver_handshake(void *handle)
{
    int result = gnutls_handshake(handle);
    return result == GNUTLS_E_SUCCESS ? 1 : outcome(result);
}

static long driver_read(void *handle, void *buffer, size_t size)
{
    return outcome(gnutls_record_recv(handle, buffer, size));
}

static long driver_write(void *handle, const void *data, size_t size)
{
    return outcome(gnutls_record_send(handle, data, size));
}

static void driver_close(void *handle)
{
    gnutls_bye(handle, GNUTLS_SHUT_WR);
}

static void driver_free(void *handle)
{
    gnutls_deinit(handle);
}
