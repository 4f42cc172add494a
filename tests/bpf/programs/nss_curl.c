/*
 * nss_curl URL RESPONSE-FILE: libcurl with NSS fetches the URL and stores the body. It finds the authority in
 * the database that $SSL_DIR names. Prints "ready PID", waits for a line on stdin, and prints "LOCAL-PORT".
 *
 * The library is loaded by name: it may come from another system, without its headers.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* From curl/curl.h; these numbers are part of its ABI. */
#define CURLOPT_WRITEDATA 10001
#define CURLOPT_URL 10002
#define CURLOPT_PROXY 10004
#define CURLINFO_LOCAL_PORT 0x20002a

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void *function(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (!found)
        die(name, "not there");
    return found;
}

int main(int argc, char **argv)
{
    void *library = dlopen("libcurl-nss.so.4", RTLD_NOW);
    void *(*init)(void);
    int (*setopt)(void *, int, ...), (*perform)(void *), (*getinfo)(void *, int, ...), error;
    const char *(*message)(int);
    void (*cleanup)(void *);
    char line[16];
    long port;
    FILE *response;
    void *curl;

    if (!library)
        die("libcurl-nss.so.4", dlerror());
    if (argc != 3)
        die(argv[0], "URL RESPONSE-FILE");
    *(void **)&init = function(library, "curl_easy_init");
    *(void **)&setopt = function(library, "curl_easy_setopt");
    *(void **)&perform = function(library, "curl_easy_perform");
    *(void **)&getinfo = function(library, "curl_easy_getinfo");
    *(void **)&message = function(library, "curl_easy_strerror");
    *(void **)&cleanup = function(library, "curl_easy_cleanup");
    printf("ready %d\n", getpid());
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        die("stdin", "ended before the word to go");
    response = fopen(argv[2], "wb");
    curl = init();
    if (!response || !curl)
        die(argv[2], "no file, or no memory");
    setopt(curl, CURLOPT_URL, argv[1]);
    setopt(curl, CURLOPT_PROXY, "");
    setopt(curl, CURLOPT_WRITEDATA, response);
    error = perform(curl);
    if (error)
        die(argv[1], message(error));
    getinfo(curl, CURLINFO_LOCAL_PORT, &port);
    printf("%ld\n", port);
    fclose(response);
    cleanup(curl);
    return 0;
}
