/*
 * own_library
 *
 * Functions of a TLS library's shape without any TLS, for tests of the engine itself. Prints "ready PID",
 * then obeys lines on stdin and answers each with "done":
 *
 *     write HANDLE SIZE COUNT   call own_write(HANDLE, data, SIZE) COUNT times, byte i being i % 251
 *     read HANDLE SIZE COUNT    likewise own_read
 *     bad HANDLE SIZE COUNT     likewise own_write, of memory that is not there
 *     nest HANDLE SIZE COUNT    likewise own_nest, which writes on HANDLE and on HANDLE + 1 and reads on HANDLE
 *     pend HANDLE SIZE COUNT    likewise own_pend of memory that is not there, which fails, and again, to succeed
 *     jump HANDLE SIZE COUNT    likewise own_jump, which never returns
 *     free HANDLE               own_free(HANDLE)
 *     init HANDLE               own_init(HANDLE)
 *     shake HANDLE              own_shake(HANDLE), which fails
 *     where                     answers "done ADDRESS", that of own_write, in hexadecimal
 *     leave                     the first thread ends, another one goes on obeying
 *     exec                      execute this program again, which prints "ready PID" once more
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCTION __attribute__((noinline, noclone, used))

/* Recognition: nothing else on the machine has it. */
FUNCTION int own_library_of_tlstap_tests(void)
{
    return 42;
}

FUNCTION long own_write(void *handle, const void *data, size_t size)
{
    __asm__ volatile("" : : "r"(handle), "r"(data) : "memory");
    return (long)size;
}

FUNCTION long own_read(void *handle, void *data, size_t size)
{
    __asm__ volatile("" : : "r"(handle), "r"(data) : "memory");
    return (long)size;
}

FUNCTION long own_nest(void *handle, void *data, size_t size)
{
    own_write(handle, data, size);
    own_write((char *)handle + 1, data, size);
    own_read(handle, data, size);
    __asm__ volatile("" : : : "memory");
    return (long)size;
}

FUNCTION long own_pend(void *handle, const void *data, size_t size, long result)
{
    __asm__ volatile("" : : "r"(handle), "r"(data), "r"(size) : "memory");
    return result;
}

static jmp_buf before_jump;

FUNCTION long own_jump(void *handle, const void *data, size_t size)
{
    __asm__ volatile("" : : "r"(handle), "r"(data), "r"(size) : "memory");
    longjmp(before_jump, 1);
}

FUNCTION void own_free(void *handle)
{
    __asm__ volatile("" : : "r"(handle) : "memory");
}

/* The handle is memory of the caller's. */
FUNCTION void own_init(void *handle)
{
    __asm__ volatile("" : : "r"(handle) : "memory");
}

FUNCTION int own_shake(void *handle)
{
    __asm__ volatile("" : : "r"(handle) : "memory");
    return -1;
}

/* own_many_00 to own_many_63, to be probed in numbers. */
#define MANY(n) FUNCTION int own_many_##n(void *handle) { __asm__ volatile("" : : "r"(handle)); return n; }
#define EIGHT(d) MANY(d##0) MANY(d##1) MANY(d##2) MANY(d##3) MANY(d##4) MANY(d##5) MANY(d##6) MANY(d##7)
EIGHT(1)
EIGHT(2)
EIGHT(3)
EIGHT(4)
EIGHT(5)
EIGHT(6)
EIGHT(7)

static unsigned char data[5 << 20];
static pthread_t first;

static void jump(void *handle, size_t size)
{
    if (!setjmp(before_jump))
        own_jump(handle, data, size);
}

static void *obey(void *arguments)
{
    char line[128], word[16];
    unsigned long handle, size, count;

    if (!pthread_equal(pthread_self(), first)) {
        pthread_join(first, 0);
        printf("done\n");
        fflush(stdout);
    }
    while (fgets(line, sizeof line, stdin)) {
        handle = size = count = 0;
        if (sscanf(line, "%15s %lu %lu %lu", word, &handle, &size, &count) < 1 || size > sizeof data)
            exit(1);
        for (; count; count--) {
            if (!strcmp(word, "write"))
                own_write((void *)handle, data, size);
            else if (!strcmp(word, "bad"))
                own_write((void *)handle, (void *)16, size);
            else if (!strcmp(word, "nest"))
                own_nest((void *)handle, data, size);
            else if (!strcmp(word, "pend")) {
                own_pend((void *)handle, (void *)16, size, -28);
                own_pend((void *)handle, 0, 0, (long)size);
            } else if (!strcmp(word, "jump"))
                jump((void *)handle, size);
            else
                own_read((void *)handle, data, size);
        }
        if (!strcmp(word, "free"))
            own_free((void *)handle);
        if (!strcmp(word, "init"))
            own_init((void *)handle);
        if (!strcmp(word, "shake"))
            own_shake((void *)handle);
        if (!strcmp(word, "exec"))
            execl("/proc/self/exe", *(char **)arguments, (char *)0);
        if (!strcmp(word, "leave")) {
            pthread_t other;
            pthread_create(&other, 0, obey, arguments);
            pthread_exit(0);
        }
        if (!strcmp(word, "where"))
            printf("done %lx\n", (unsigned long)own_write);
        else
            printf("done\n");
        fflush(stdout);
    }
    exit(0);
}

int main(int argc, char **argv)
{
    (void)argc;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = i % 251;
    printf("ready %d\n", getpid());
    fflush(stdout);
    first = pthread_self();
    obey(argv);
}
