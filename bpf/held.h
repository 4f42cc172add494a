/* Bytes that a library took and could not send yet. The call that finishes the work says so with another
 * buffer or none, when the application may have overwritten the first: they are kept when the first fails. */

static __always_inline bool is_pending(struct probe *probe, s32 returned) {
    return returned < 0 && (returned == probe->pending[0] || returned == probe->pending[1]);
}

/* Of a call that is pending again the first one's bytes count: the library has taken those. */
static __always_inline void hold(struct connection_key *key, struct connection *connection,
                                 struct frame *frame) {
    int zero = 0;
    u64 bytes = frame->length;
    if (!bytes || connection->held)
        return;
    if (bytes > HELD_BYTES)
        bytes = HELD_BYTES;
    connection->held = bytes; /* even if they can't be kept: then they are known to be missing */
    struct held *blank = blank_held.lookup(&zero);
    if (!blank)
        return;
    held.update(key, blank);
    struct held *kept = held.lookup(key);
    if (!kept)
        return;
    kept->generation = connection->generation;
    asm volatile("" : "+r"(bytes));
    if (bytes > HELD_BYTES || bpf_probe_read_user(kept->bytes, bytes, (void *)frame->buffer))
        held.delete(key);
}

/* The bytes are sent: they are what was held. The entry stays until it is emitted. */
static __always_inline void release(struct connection_key *key, struct connection *connection,
                                    struct data_place *place) {
    struct held *kept = held.lookup(key);
    place->held = 1;
    place->address = kept && kept->generation == connection->generation ? (u64)kept->bytes : 0;
    connection->held = 0;
}
