/* Writing to the ring, counting what finds no room. */

static __always_inline void count(u32 counter, u64 by) {
    int index = counter;
    if (!by) /* or clang makes an atomic "or" of the addition of 0, which kernels before 5.12 don't have */
        return;
    u64 *value = counters.lookup(&index);
    if (value)
        __sync_fetch_and_add(value, by);
}

static __always_inline void count_lost(u64 bytes) {
    count(COUNT_LOST_EVENTS, 1);
    count(COUNT_LOST_BYTES, bytes);
}

/* The reader polls while there is traffic. It is woken if it went to sleep, and when much has piled up. */
static __always_inline u64 wake_flags(u64 bytes) {
    int zero = 0;
    u32 *sleeps = reader_sleeps.lookup(&zero);
    if (sleeps && *sleeps) {
        *sleeps = 0;
        return BPF_RB_FORCE_WAKEUP;
    }
    u64 *pending = unsignalled.lookup(&zero);
    if (!pending)
        return BPF_RB_FORCE_WAKEUP;
    *pending += bytes;
    if (*pending < WAKE_BYTES)
        return BPF_RB_NO_WAKEUP;
    *pending = 0;
    return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void fill_process(struct event_header *header, u16 kind) {
    u64 id = bpf_get_current_pid_tgid();
    header->time_ns = bpf_ktime_get_ns();
    header->tgid = id >> 32;
    header->tid = id;
    header->uid = bpf_get_current_uid_gid();
    header->kind = kind;
    header->detail = 0;
    bpf_get_current_comm(header->comm, sizeof(header->comm));
}

static __always_inline void fill_header(struct event_header *header, u16 kind, u64 handle,
                                        struct connection *connection, u16 probe, u16 image) {
    fill_process(header, kind);
    header->handle = handle;
    header->generation = connection->generation;
    header->probe = probe;
    header->image = image;
    header->flags = connection->flags | (connection->unopened ? FLAG_UNOPENED : 0);
    header->address = connection->address;
}

/* A record about a process, not about a connection. */
static __always_inline void fill_process_header(struct event_header *header, u16 kind) {
    fill_process(header, kind);
    header->handle = 0;
    header->generation = 0;
    header->probe = 0;
    header->image = 0;
    header->flags = 0;
    __builtin_memset(&header->address, 0, sizeof(header->address));
}

static __always_inline void emit_process_event(u16 kind) {
    struct event_header *header = ring.ringbuf_reserve(sizeof(*header));
    if (!header) {
        count_lost(0);
        return;
    }
    fill_process_header(header, kind);
    ring.ringbuf_submit(header, wake_flags(sizeof(*header)));
}
