/* The life of a connection: (tgid, handle, generation). Libraries use handles again, so births and ends
 * give a handle a new generation. */

static __always_inline struct connection_key connection_key_of(u64 handle) {
    struct connection_key key = {.handle = handle, .tgid = bpf_get_current_pid_tgid() >> 32};
    return key;
}

static __always_inline struct connection *new_connection(struct connection_key *key, u16 flags, u16 probe,
                                                         u16 image) {
    struct connection fresh = {};
    fresh.generation = bpf_ktime_get_ns();
    fresh.flags = flags;
    fresh.probe = probe;
    fresh.image = image;
    connections.update(key, &fresh);
    u32 tgid = key->tgid;
    u8 one = 1;
    tls_processes.update(&tgid, &one);
    return connections.lookup(key);
}

/* The connection of a handle; one that is older than the trace is made here. */
static __always_inline struct connection *connection_of(struct connection_key *key, u16 probe, u16 image) {
    struct connection *connection = connections.lookup(key);
    if (connection)
        return connection;
    return new_connection(key, 0, probe, image);
}

static __always_inline void end_connection(struct connection_key *key, struct connection *connection) {
    struct end_event *event = ring.ringbuf_reserve(sizeof(*event));
    if (event) {
        fill_header(&event->header, EVENT_END, key->handle, connection, connection->probe, connection->image);
        event->moved[DIRECTION_READ] = connection->moved[DIRECTION_READ];
        event->moved[DIRECTION_WRITE] = connection->moved[DIRECTION_WRITE];
        event->handshake_ns = 0;
        /* Where the library finishes a handshake by itself, what was read proves that it did. */
        if (connection->handshake_start_ns && !connection->handshake_done &&
            !connection->moved[DIRECTION_READ])
            event->handshake_ns = connection->handshake_last_ns - connection->handshake_start_ns;
        ring.ringbuf_submit(event, wake_flags(sizeof(*event)));
    } else {
        struct ended_key ended_key = {.connection = *key, .generation = connection->generation};
        ended.update(&ended_key, connection);
        count_lost(0);
    }
    connections.delete(key);
}

static __always_inline void start_connection(struct connection_key *key, u16 flags, u16 probe, u16 image) {
    struct connection *connection = new_connection(key, flags | FLAG_FROM_START, probe, image);
    if (!connection)
        return;
    struct event_header *header = ring.ringbuf_reserve(sizeof(*header));
    if (!header) {
        count_lost(0);
        return;
    }
    fill_header(header, EVENT_BIRTH, key->handle, connection, probe, image);
    ring.ringbuf_submit(header, wake_flags(sizeof(*header)));
}

/* The library made a new handle. `role` is FLAG_CLIENT, FLAG_SERVER or 0. */
static __always_inline void begin_connection(u64 handle, u16 role, u16 probe, u16 image) {
    struct connection_key key = connection_key_of(handle);
    struct connection *connection = connections.lookup(&key);
    if (connection)
        end_connection(&key, connection);
    start_connection(&key, role, probe, image);
}

/* The handle is freed, or (`renew`) made new for another connection. Of a known one that counts only if it has
 * been used: OpenSSL's handshake begins with SSL_clear. */
static __always_inline void end_handle(u64 handle, bool renew, u16 probe, u16 image) {
    struct connection_key key = connection_key_of(handle);
    struct connection *connection = connections.lookup(&key);
    if (!connection) {
        if (renew)
            start_connection(&key, 0, probe, image);
        return;
    }
    u16 role = connection->flags & (FLAG_CLIENT | FLAG_SERVER);
    if (renew) {
        if (!connection->moved[DIRECTION_READ] && !connection->moved[DIRECTION_WRITE] &&
            !connection->handshake_start_ns)
            return;
    } else if (connection->references) {
        connection->references--;
        return;
    }
    end_connection(&key, connection);
    if (renew)
        start_connection(&key, role, probe, image);
}
