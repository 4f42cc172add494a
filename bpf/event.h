/* The records that BPF writes into the ring buffer, and the structs that the reader writes into maps.
 * tracing/layout.py reads and writes the same structs; tests/bpf/test_layout.py compares the two.
 * All structs are free of implicit padding. */

enum event_kind {
    EVENT_DATA = 1,
    EVENT_BIRTH = 2,
    EVENT_HANDSHAKE = 3,
    EVENT_END = 4,
    EVENT_DETAIL = 5,
    EVENT_EXEC = 6,
    EVENT_EXIT = 7,
    EVENT_EVIDENCE = 8,
};

/* event_header.flags and connection.flags */
#define FLAG_FROM_START 1 /* the birth of the connection was seen */
#define FLAG_CLIENT 2
#define FLAG_SERVER 4
#define FLAG_INFERRED 8    /* the address was concluded from another call of the thread */
#define FLAG_UNREADABLE 16 /* the bytes could not be read from the process's memory */
#define FLAG_UNOPENED 32   /* packets were read whose bytes nobody has asked for yet */

enum direction { DIRECTION_READ = 0, DIRECTION_WRITE = 1 };

/* Both ends of a socket as the kernel has them: addresses in network order, IPv4 in the first four bytes;
 * ports in host order. With family FAMILY_DESCRIPTOR only local_port is used, for a file descriptor. */
#define FAMILY_NONE 0
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define FAMILY_DESCRIPTOR 255

struct address {
    u8 local[16];
    u8 remote[16];
    u32 local_port;
    u16 remote_port;
    u16 family;
};

struct event_header {
    u64 time_ns; /* CLOCK_MONOTONIC */
    u64 handle;
    u64 generation; /* with tgid and handle: one connection */
    u32 tgid;
    u32 tid;
    u32 uid;
    u16 probe; /* index into the declared probes */
    u16 image; /* index of the attached file, 0 if unknown */
    u16 kind;
    u16 flags;
    u32 detail; /* EVENT_HANDSHAKE: 1 if it succeeded; EVENT_DETAIL, EVENT_EXEC: bytes of text */
    char comm[16];
    struct address address;
};

struct data_event {
    struct event_header header;
    u64 offset; /* of the first byte, in the direction's stream */
    u64 length; /* bytes of the stream that this record stands for */
    u64 duration_ns;
    u32 direction;
    u32 captured; /* bytes of payload that follow */
};

struct handshake_event {
    struct event_header header;
    u64 duration_ns;
};

/* The totals of a connection, for the loss accounting. */
struct end_event {
    struct event_header header;
    u64 moved[2]; /* bytes, by direction */
    u64 handshake_ns; /* duration of a handshake that never succeeded, 0 if there was none */
};

#define DETAIL_BYTES 256

/* EVENT_DETAIL: what a detail probe captured; EVENT_EXEC: the path of the program. */
struct detail_event {
    struct event_header header;
    char text[DETAIL_BYTES];
};

/* What speaks for or against a probe that is on trial: a call, before the records with its bytes. By direction
 * are the bytes that the thread moved on sockets during the call, and those that its process has moved
 * altogether since it first called a function on trial. */
struct evidence_event {
    struct event_header header;
    u64 asked; /* the length asked for */
    u64 moved; /* the length that the call claims to have moved */
    u64 in_call[2];
    u64 in_process[2];
    u32 direction;
    u32 plausible; /* 1: handle, buffer and lengths can be what they are taken for */
};

/* A declared probe, as library.py has it. Argument numbers count from 1; 0 is the return value. */
enum probe_kind {
    PROBE_DATA = 1,
    PROBE_HANDSHAKE = 2,
    PROBE_BIRTH = 3,
    PROBE_FREE = 4,
    PROBE_REFERENCE = 5,
    PROBE_ROLE = 6,
    PROBE_DETAIL = 7,
    PROBE_FLUSH = 8,
    PROBE_PACKET = 9,
    PROBE_CONTENT = 10,
};

enum success { SUCCESS_POSITIVE = 0, SUCCESS_ONE = 1, SUCCESS_ZERO = 2, SUCCESS_ANY = 3 };

/* Where the length of a call's bytes (PROBE_DATA) or of a detail's text (PROBE_DETAIL) is. */
enum length_source {
    LENGTH_RETURNED = 0,
    LENGTH_OUT_POINTER = 1, /* behind a pointer: `moved`, PROBE_DETAIL: `length` */
    LENGTH_ARGUMENT = 2,    /* what `length` is */
    LENGTH_TERMINATED = 3,  /* a NUL ends the text */
    LENGTH_OFFSET = 4,      /* at `number` in the struct that the value points to */
    LENGTH_FIXED = 5,       /* `number` */
    LENGTH_NONE = 6,        /* the value is itself a number of four bytes */
};

struct probe {
    u8 kind;
    u8 direction;
    u8 handle;
    u8 buffer;     /* PROBE_DETAIL: the value; PROBE_PACKET: the packet; PROBE_CONTENT: the datum */
    u8 length;     /* the length asked for, 0 if there is none */
    u8 moved;      /* an out-pointer: of the length, PROBE_BIRTH: of the handle */
    u8 moved_size; /* bytes behind the out-pointer */
    u8 success;
    u8 role; /* PROBE_ROLE, PROBE_BIRTH: FLAG_CLIENT, FLAG_SERVER or 0 */
    u8 length_source;
    u16 number;
    u8 has_pointer_offset;
    u8 vector; /* PROBE_DATA: `buffer` is an array of struct part, `length` their number */
    u16 pointer_offset;
    s32 pending[2]; /* return values of a call that took the bytes but has not sent them; 0: none */
    u32 only_from;  /* 1: only calls that return to one of the map `call_sites` count */
};
