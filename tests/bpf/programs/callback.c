/*
 * callback: while a connection writes, a callback of the library writes on another connection. Both must be
 * seen, each on its own connection.
 */
#include "pair.h"

static struct pair main_pair, side_pair;
static bool armed;

static long write_elsewhere(BIO *bio, int operation, const char *data, size_t size, int argi, long argl,
                            int result, size_t *processed)
{
    static const char note[] = "written from within another connection's write";
    (void)bio, (void)data, (void)size, (void)argi, (void)argl, (void)processed;
    if (armed && operation == BIO_CB_WRITE) {
        armed = false;
        send_all(&side_pair.client, note, strlen(note));
        receive_all(&side_pair.server, strlen(note));
    }
    return result;
}

int main(int argc, char **argv)
{
    static const char text[] = "written on the main connection";
    SSL_CTX *client, *server;

    begin(argc, argv);
    client = make_context(false);
    server = make_context(true);
    open_pair(&main_pair, client, server, "main");
    open_pair(&side_pair, client, server, "side");
    BIO_set_callback_ex(SSL_get_wbio(main_pair.client.ssl), write_elsewhere);

    armed = true;
    send_all(&main_pair.client, text, strlen(text));
    if (armed)
        die("the callback was not called");
    receive_all(&main_pair.server, strlen(text));

    close_pair(&main_pair);
    close_pair(&side_pair);
    return 0;
}
