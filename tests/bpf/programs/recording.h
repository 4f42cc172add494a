/*
 * What all test programs share that record what the ends of their connections really moved.
 *
 * They print "ready PID", wait for a line on stdin (so that a tracer can be attached before any traffic), and write,
 * for each end of a connection, the plaintext that the application read and wrote to DIRECTORY/NAME.read and
 * DIRECTORY/NAME.write.
 */
#ifndef RECORDING_H
#define RECORDING_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the TLS library says of its last error, on stderr. Each library's header defines it. */
static void explain(void);

__attribute__((noreturn, format(printf, 1, 2), unused)) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    explain();
    exit(1);
}

__attribute__((unused)) static void wait_for_the_word(void)
{
    char line[16];
    printf("ready %d\n", getpid());
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        die("stdin ended before the word to go");
}

struct records {
    FILE *read, *write;
};

static FILE *open_record(const char *directory, const char *name, const char *direction)
{
    char path[4096];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s.%s", directory, name, direction);
    file = fopen(path, "wb");
    if (!file)
        die("%s can't be written", path);
    setvbuf(file, NULL, _IONBF, 0); /* nothing is left in a buffer when a process forks */
    return file;
}

__attribute__((unused)) static void open_records(struct records *records, const char *directory, const char *name)
{
    records->read = open_record(directory, name, "read");
    records->write = open_record(directory, name, "write");
}

__attribute__((unused)) static void close_records(struct records *records)
{
    fclose(records->read);
    fclose(records->write);
}

/* Fill with bytes that differ by place and by stream, so that a wrong byte anywhere is noticed. */
__attribute__((unused)) static void fill(unsigned char *data, size_t size, unsigned seed)
{
    unsigned state = seed * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1103515245u + 12345u;
        data[i] = (unsigned char)(state >> 16);
    }
}

#endif
