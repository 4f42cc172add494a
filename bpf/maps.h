/* The maps, and what they hold. Sizes come from the engine as macros. */

/* ---- the ring: everything that leaves the kernel, in one order ---- */
BPF_RINGBUF_OUTPUT(ring, RING_PAGES);

/* ---- what the reader tells BPF ---- */
BPF_ARRAY(probes, struct probe, MAX_PROBES);
BPF_ARRAY(reader_sleeps, u32, 1); /* 1: the next record must wake the reader */
BPF_HASH(filter_pids, u32, u8, 16384);
BPF_HASH(filter_uids, u32, u8, 256);

struct comm {
    char text[16];
};
BPF_HASH(filter_comms, struct comm, u8, 256);

struct file_id {
    u64 inode;
    u64 device;
};
BPF_HASH(filter_exes, struct file_id, u8, 256);

/* Where calls of a probe with `only_from` return to, as the distance from the probe: the same in every process.
 * `image` is 0 where the kernel does not tell it. */
struct call_site {
    u64 distance;
    u32 probe;
    u32 image;
};
BPF_HASH(call_sites, struct call_site, u8, 16384);

/* ---- probes that must prove themselves ---- */
BPF_HASH(trials, u32, u8, 4096); /* by image << 16 | probe */

/* What a process with such probes has moved on its sockets, by direction. */
struct traffic {
    u64 moved[2];
};
BPF_TABLE("lru_hash", u32, struct traffic, traffic, 4096); /* by tgid */

/* ---- counters, each per CPU ---- */
enum counter {
    COUNT_LOST_EVENTS = 0,  /* records that found no room in the ring */
    COUNT_LOST_BYTES = 1,   /* bytes of streams that these stood for */
    COUNT_NESTED_TOO_DEEP = 2,
    COUNT_IMPLAUSIBLE = 3,  /* calls that moved more than they were asked to */
    COUNT_UNREADABLE = 4,   /* bytes that could not be read from the process */
    COUNT_BEYOND_BOUND = 5, /* bytes of calls larger than MAX_CALL_BYTES */
    COUNTERS = 6,
};
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_PERCPU_ARRAY(unsignalled, u64, 1); /* bytes submitted since the reader was last woken */

/* ---- programs that others jump to ---- */
#define PROGRAM_ENTER 0
#define PROGRAM_PARTS 1
BPF_PROG_ARRAY(programs, 2);

/* ---- threads: the TLS calls that each is in ---- */
#define MAX_DEPTH 4 /* a power of two */

struct frame {
    u64 stack_pointer; /* on entry; tells frames apart and stale ones from live ones */
    u64 handle;
    u64 buffer;
    u64 length;
    u64 moved; /* the out-pointer, of the length or of a new handle */
    u64 start_ns;
    u64 socket;       /* struct sock that the call used, 0 if none was seen */
    u64 known_socket; /* the connection's, whose address need not be read again */
    u64 in_call[2];   /* bytes that the thread moved on sockets during the call, by direction */
    u32 on_trial;
    u32 implausible; /* it claims to have moved more than it was asked to */
    u16 probe;
    u16 image;
    u8 kind;
    u8 direction;
    u8 inferred; /* the address is that of a call nested in this one, on another connection */
    u8 address_read;
    struct address address;
};

/* What is to be emitted. */
struct data_place {
    u64 address; /* in the process, or of bytes that were held */
    u64 offset;  /* in the stream */
    u64 length;  /* of the stream */
    u64 start_ns;
    u32 direction;
    u32 held;
    u64 left;  /* bytes in further parts */
    u64 parts; /* array of them, in the process */
    u32 next_part;
    u32 part_count;
};

struct thread {
    u32 depth;
    u32 received_fresh; /* `received` was not yet claimed by a connection */
    struct address received; /* the socket that the thread last received from outside TLS calls */
    struct frame frames[MAX_DEPTH];
    struct data_place place; /* here, not on the stack, or the verifier follows each way to it separately */
};
BPF_TABLE("lru_hash", u64, struct thread, threads, MAX_THREADS); /* by pid_tgid */
BPF_ARRAY(blank_thread, struct thread, 1); /* too large for the stack; never written */

/* ---- connections ---- */
struct connection_key {
    u64 handle;
    u32 tgid;
    u32 zero;
};

struct connection {
    u64 generation;
    u64 moved[2]; /* bytes, by direction */
    u64 socket;
    u64 handshake_start_ns;
    u64 handshake_last_ns;
    u16 references; /* beyond the first */
    u16 unopened;   /* packets that were read and not yet opened */
    u16 flags;
    u8 handshake_done;
    u8 details; /* EVENT_DETAIL records sent */
    u16 image;
    u16 probe;
    u32 held; /* bytes that the library has taken to send later, in `held` */
    struct address address;
};
BPF_TABLE("lru_hash", struct connection_key, struct connection, connections, MAX_CONNECTIONS);

/* Bytes that a library took to send later: their buffer is the application's again. */
#define HELD_BYTES 16384
struct held {
    u64 generation;
    u8 bytes[HELD_BYTES];
};
BPF_TABLE("lru_hash", struct connection_key, struct held, held, MAX_HELD);
BPF_ARRAY(blank_held, struct held, 1); /* too large for the stack; never written */

/* Packets that were read and whose bytes nobody has asked for yet. */
struct packet_key {
    u64 packet;
    u32 tgid;
    u32 zero;
};

struct packet {
    u64 handle;
    u64 generation;
    u64 offset; /* in the stream that was read */
    u64 length;
    u64 start_ns;
    u16 probe;
    u16 image;
    u32 zero;
};
BPF_TABLE("lru_hash", struct packet_key, struct packet, packets, MAX_PACKETS);

/* Connections that ended when the ring had no room to say so: the reader collects their totals. */
struct ended_key {
    struct connection_key connection;
    u64 generation;
};
BPF_TABLE("lru_hash", struct ended_key, struct connection, ended, MAX_CONNECTIONS);

BPF_TABLE("lru_hash", u32, u8, tls_processes, MAX_CONNECTIONS); /* by tgid: has made a connection */
