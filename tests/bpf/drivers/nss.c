/* The driver for NSS. */
#include <tlstap/conformance/driver.h>

#include <cert.h>
#include <keyhi.h>
#include <nspr.h>
#include <nss.h>
#include <nssb64.h>
#include <pk11pub.h>
#include <private/pprio.h>
#include <ssl.h>

static CERTCertificate *certificate;
static SECKEYPrivateKey *key;

/* What is between the first and the last line of a PEM file, decoded. */
static SECItem *read_pem(const char *path)
{
    static char text[16 * KIB];
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    char *begin, *end;
    text[size] = 0;
    begin = strchr(text, '\n');
    end = begin ? strstr(begin, "-----END") : NULL;
    if (!end)
        stop("no PEM file");
    fclose(file);
    return NSSBase64_DecodeBuffer(NULL, NULL, begin, (unsigned)(end - begin));
}

static void driver_begin(const char *certificate_path, const char *key_path)
{
    SECItem nickname = {siBuffer, (unsigned char *)"server", 6};
    if (NSS_NoDB_Init(NULL) != SECSuccess || NSS_SetDomesticPolicy() != SECSuccess)
        stop("NSS_NoDB_Init");
    certificate = CERT_NewTempCertificate(CERT_GetDefaultCertDB(), read_pem(certificate_path), NULL, PR_FALSE, PR_TRUE);
    if (!certificate || PK11_ImportDERPrivateKeyInfoAndReturnKey(PK11_GetInternalKeySlot(), read_pem(key_path),
                                                                 &nickname, NULL, PR_FALSE, PR_FALSE, KU_ALL, &key,
                                                                 NULL) != SECSuccess)
        stop("certificate and key");
}

static SECStatus accept_any(void *argument, PRFileDesc *fd, PRBool check, PRBool server)
{
    (void)argument, (void)fd, (void)check, (void)server;
    return SECSuccess;
}

static void *driver_new(int socket, bool server)
{
    /* NSPR closes its descriptor. */
    PRFileDesc *fd = SSL_ImportFD(NULL, PR_ImportTCPSocket(dup(socket)));
    PRSocketOptionData option = {.option = PR_SockOpt_Nonblocking, .value.non_blocking = PR_TRUE};
    if (!fd || PR_SetSocketOption(fd, &option) != PR_SUCCESS)
        stop("SSL_ImportFD");
    SSL_OptionSet(fd, SSL_SECURITY, PR_TRUE);
    SSL_OptionSet(fd, server ? SSL_HANDSHAKE_AS_SERVER : SSL_HANDSHAKE_AS_CLIENT, PR_TRUE);
    SSL_OptionSet(fd, SSL_NO_CACHE, PR_TRUE);
    if (server && SSL_ConfigServerCert(fd, certificate, key, NULL, 0) != SECSuccess)
        stop("SSL_ConfigServerCert");
    SSL_AuthCertificateHook(fd, accept_any, NULL);
    SSL_SetURL(fd, "localhost");
    if (SSL_ResetHandshake(fd, server) != SECSuccess)
        stop("SSL_ResetHandshake");
    return fd;
}

static long outcome(PRInt32 result)
{
    if (result >= 0)
        return result;
    return PR_GetError() == PR_WOULD_BLOCK_ERROR ? DRIVER_AGAIN : DRIVER_FAILED;
}

static long driver_handshake(void *handle)
{
    return SSL_ForceHandshake(handle) == SECSuccess ? 1 : outcome(-1);
}

static long driver_read(void *handle, void *buffer, size_t size)
{
    return outcome(PR_Read(handle, buffer, (PRInt32)size));
}

static long driver_write(void *handle, const void *data, size_t size)
{
    return outcome(PR_Write(handle, data, (PRInt32)size));
}

static void driver_close(void *handle)
{
    PR_Shutdown(handle, PR_SHUTDOWN_SEND);
}

static void driver_free(void *handle)
{
    PR_Close(handle);
}
