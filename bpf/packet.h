/* Data that a library reads into a packet of its own: its place in the stream is known when it was read, its
 * bytes when the application asks for them. A packet whose bytes nobody asks for is a gap. */

static __always_inline struct packet_key packet_key_of(u64 packet) {
    struct packet_key key = {.packet = packet, .tgid = bpf_get_current_pid_tgid() >> 32};
    return key;
}

static __always_inline void keep_packet(struct frame *frame, struct connection *connection,
                                        struct data_place *place) {
    u64 pointer = 0;
    bpf_probe_read_user(&pointer, sizeof(pointer), (void *)frame->buffer);
    struct packet_key key = packet_key_of(pointer);
    struct packet packet = {
        .handle = frame->handle,
        .generation = connection->generation,
        .offset = place->offset,
        .length = place->length,
        .start_ns = frame->start_ns,
        .probe = frame->probe,
        .image = frame->image,
    };
    packets.update(&key, &packet);
    connection->unopened++;
}

/* What the library says the bytes of a packet are. The frame becomes that of the call which read it. */
static __always_inline struct connection *exit_content(struct frame *frame, struct data_place *place) {
    struct {
        u64 address;
        u32 length;
        u32 zero;
    } datum = {};
    struct packet_key key = packet_key_of(frame->handle);
    struct packet *packet = packets.lookup(&key);
    if (!packet || !frame->buffer)
        return 0;
    bpf_probe_read_user(&datum, 12, (void *)frame->buffer);
    struct connection_key connection_key = connection_key_of(packet->handle);
    struct connection *connection = connections.lookup(&connection_key);
    if (!connection || connection->generation != packet->generation || datum.length != packet->length) {
        packets.delete(&key);
        return 0;
    }
    frame->handle = packet->handle;
    frame->probe = packet->probe;
    frame->image = packet->image;
    place->address = datum.address;
    place->offset = packet->offset;
    place->length = packet->length;
    place->start_ns = packet->start_ns;
    place->direction = DIRECTION_READ;
    place->held = 0;
    packets.delete(&key);
    connection->unopened--;
    return connection;
}
