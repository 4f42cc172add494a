/*
 * trial
 *
 * Functions that a signature might take for a TLS library's, some rightly and some not, over a TCP connection
 * of the program to itself. "Encrypted" is what is RECORD bytes longer, and each byte another one. Prints
 * "ready PID", then obeys lines on stdin and answers each with "done":
 *
 *     FUNCTION SIZE COUNT   call it COUNT times with SIZE bytes, byte i being i % 251 ("done ANSWER": what it
 *                           returned last)
 *     where FUNCTION        answers "done ADDRESS", in hexadecimal
 *
 * The functions all are (handle, buffer, int size), and return how many bytes they moved:
 *
 *     write          sends a record
 *     read           receives a record
 *     write_later    keeps a record, which the program sends when the call has returned
 *     read_earlier   takes from a record that the program received before the call
 *     read_twice     receives a record through read, on a connection inside this one (TLS inside TLS)
 *     write_nowhere  sends nothing
 *     read_nowhere   receives nothing
 *     read_raw       receives bytes as they are
 *     read_more      claims to have received more than it was asked for
 *     read_bad       hands over a buffer that is not there
 *     peek           called from two places by take and look: only what take gets is read
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUNCTION __attribute__((noinline, noclone, used))
#define RECORD 22
#define MOST 65536

struct handle {
    int near, far; /* both ends of the connection */
};

static struct handle handles[2];
static unsigned char record[MOST + RECORD], plain[MOST], kept[MOST + RECORD];
static int kept_size;

/* Recognition: nothing else on the machine has it. */
FUNCTION int trial_library_of_tlstap_tests(void)
{
    return 42;
}

static void encrypt(const unsigned char *data, int size)
{
    memset(record, 0x55, RECORD);
    for (int i = 0; i < size; i++)
        record[RECORD + i] = data[i] ^ 0xaa;
}

static void decrypt(unsigned char *data, int size)
{
    for (int i = 0; i < size; i++)
        data[i] = record[RECORD + i] ^ 0xaa;
}

static void move_all(int socket, int sends, void *data, int size)
{
    for (int done = 0; done < size;) {
        ssize_t step = sends ? send(socket, (char *)data + done, size - done, 0)
                             : recv(socket, (char *)data + done, size - done, 0);
        if (step <= 0)
            exit(1);
        done += step;
    }
}

FUNCTION int trial_write(struct handle *handle, const void *data, int size)
{
    encrypt(data, size);
    move_all(handle->near, 1, record, size + RECORD);
    return size;
}

FUNCTION int trial_read(struct handle *handle, void *data, int size)
{
    move_all(handle->near, 0, record, size + RECORD);
    decrypt(data, size);
    return size;
}

FUNCTION int trial_write_later(struct handle *handle, const void *data, int size)
{
    (void)handle;
    encrypt(data, size);
    memcpy(kept, record, size + RECORD);
    kept_size = size + RECORD;
    return size;
}

FUNCTION int trial_read_earlier(struct handle *handle, void *data, int size)
{
    (void)handle;
    decrypt(data, size);
    return size;
}

FUNCTION int trial_read_twice(struct handle *handle, void *data, int size)
{
    /* The outer one's record is the inner one's plaintext. */
    return trial_read(handle + 1, data, size + RECORD) - RECORD;
}

FUNCTION int trial_write_nowhere(struct handle *handle, const void *data, int size)
{
    __asm__ volatile("" : : "r"(handle), "r"(data) : "memory");
    return size;
}

FUNCTION int trial_read_nowhere(struct handle *handle, void *data, int size)
{
    __asm__ volatile("" : : "r"(handle), "r"(data) : "memory");
    return size;
}

FUNCTION int trial_read_raw(struct handle *handle, void *data, int size)
{
    move_all(handle->near, 0, data, size);
    return size;
}

FUNCTION int trial_read_more(struct handle *handle, void *data, int size)
{
    move_all(handle->near, 0, record, size + RECORD);
    decrypt(data, size);
    return size + 1;
}

FUNCTION int trial_read_bad(struct handle *handle, void *data, int size)
{
    (void)data;
    move_all(handle->near, 0, record, size + RECORD);
    return size;
}

FUNCTION int trial_peek(struct handle *handle, void *data, int size)
{
    move_all(handle->near, 0, record, size + RECORD);
    decrypt(data, size);
    return size;
}

FUNCTION int trial_take(struct handle *handle, void *data, int size)
{
    int got = trial_peek(handle, data, size);
    __asm__ volatile("" : : : "memory"); /* or this is a jump */
    return got;
}

FUNCTION int trial_look(struct handle *handle, void *data, int size)
{
    int got = trial_peek(handle, data, size);
    __asm__ volatile("" : : : "memory");
    return got;
}

static void connect_to_itself(struct handle *handle)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    handle->near = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &length) ||
        connect(handle->near, (struct sockaddr *)&address, length) ||
        (handle->far = accept(listener, 0, 0)) < 0)
        exit(1);
    close(listener);
}

/* The other end, a process of its own: its sockets are not this program's. It sends so many bytes of a
 * record, or receives them, when it is told to. */
static int orders[2], done[2];

static void serve(void)
{
    struct order {
        int which, sends, size;
    } order;
    while (read(orders[0], &order, sizeof(order)) == sizeof(order)) {
        static unsigned char bytes[MOST + RECORD];
        memset(bytes, 0x55, RECORD);
        for (int i = 0; i < order.size - RECORD; i++)
            bytes[RECORD + i] = (i % 251) ^ 0xaa;
        move_all(handles[order.which].far, order.sends, bytes, order.size);
        if (write(done[1], "d", 1) != 1)
            break;
    }
    exit(0);
}

static void tell(int which, int sends, int size)
{
    int order[3] = {which, sends, size};
    if (write(orders[1], order, sizeof(order)) != sizeof(order))
        exit(1);
}

static void wait_for_it(void)
{
    char word;
    if (read(done[0], &word, 1) != 1)
        exit(1);
}

struct function {
    const char *name;
    int (*call)(struct handle *, void *, int);
    enum { WRITES, WRITES_LATER, READS, READS_EARLIER, READS_INSIDE, NOTHING } kind;
};

#define CALL(name) ((int (*)(struct handle *, void *, int))trial_##name)
static const struct function functions[] = {
    {"write", CALL(write), WRITES},
    {"read", CALL(read), READS},
    {"write_later", CALL(write_later), WRITES_LATER},
    {"read_earlier", CALL(read_earlier), READS_EARLIER},
    {"read_twice", CALL(read_twice), READS_INSIDE},
    {"write_nowhere", CALL(write_nowhere), NOTHING},
    {"read_nowhere", CALL(read_nowhere), NOTHING},
    {"read_raw", CALL(read_raw), READS},
    {"read_more", CALL(read_more), READS},
    {"read_bad", CALL(read_bad), READS},
    {"take", CALL(take), READS},
    {"look", CALL(look), READS},
    {"peek", CALL(peek), READS},
};

static const struct function *find(const char *name)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
        if (!strcmp(functions[i].name, name))
            return &functions[i];
    exit(1);
}

static int call(const struct function *function, int size)
{
    int raw = !strcmp(function->name, "read_raw"), bad = !strcmp(function->name, "read_bad");
    int on_wire = raw ? size : size + RECORD * (function->kind == READS_INSIDE ? 2 : 1);
    int which = function->kind == READS_INSIDE;
    int result;
    if (function->kind >= READS && function->kind != NOTHING)
        tell(which, 1, on_wire);
    else if (function->kind != NOTHING)
        tell(which, 0, on_wire);
    if (function->kind == READS_EARLIER)
        move_all(handles[0].near, 0, record, on_wire);
    for (int i = 0; i < size; i++)
        plain[i] = i % 251;
    result = function->call(&handles[0], bad ? (void *)16 : plain, size);
    if (function->kind == WRITES_LATER)
        move_all(handles[0].near, 1, kept, kept_size);
    if (function->kind != NOTHING)
        wait_for_it();
    return result;
}

int main(void)
{
    char word[32], name[32];
    int size, count;
    connect_to_itself(&handles[0]);
    connect_to_itself(&handles[1]);
    if (pipe(orders) || pipe(done))
        return 1;
    if (!fork()) {
        close(orders[1]);
        serve();
    }
    close(orders[0]);
    printf("ready %d\n", getpid());
    fflush(stdout);
    while (scanf("%31s", word) == 1) {
        if (!strcmp(word, "where") && scanf("%31s", name) == 1) {
            printf("done %p\n", (void *)find(name)->call);
        } else if (scanf("%d %d", &size, &count) == 2) {
            int result = 0;
            for (int i = 0; i < count; i++)
                result = call(find(word), size);
            printf("done %d\n", result);
        }
        fflush(stdout);
    }
    return 0;
}
