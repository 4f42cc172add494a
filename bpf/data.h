/* Emission of a call's bytes: all of them, in chunks, each with its place in the connection's stream. */

#define CHUNK_BYTES 16384
#define MAX_CHUNKS 256
#define MAX_CALL_BYTES ((u64)CHUNK_BYTES * MAX_CHUNKS)

static __always_inline void fill_data(struct data_event *event, struct frame *frame,
                                      struct connection *connection, struct data_place *place) {
    fill_header(&event->header, EVENT_DATA, frame->handle, connection, frame->probe, frame->image);
    event->offset = place->offset;
    event->length = place->length;
    event->duration_ns = event->header.time_ns - place->start_ns;
    event->direction = place->direction;
}

/* `room` is what was reserved; `bytes` is at most what it holds beside the header, which the verifier knows
 * from the branch that chose it. */
static __always_inline void fill_and_submit(struct data_event *event, struct frame *frame,
                                            struct connection *connection, struct data_place *place,
                                            u64 bytes, u64 room) {
    fill_data(event, frame, connection, place);
    event->captured = bytes;
    s64 failed = place->held ? bpf_probe_read_kernel(event + 1, bytes, (void *)place->address)
                             : bpf_probe_read_user(event + 1, bytes, (void *)place->address);
    if (failed) {
        event->captured = 0;
        event->header.flags |= FLAG_UNREADABLE;
        count(COUNT_UNREADABLE, bytes);
    }
    ring.ringbuf_submit(event, wake_flags(room));
}

#define FULL_RECORD (sizeof(struct data_event) + CHUNK_BYTES)

static __always_inline void emit_chunk(struct frame *frame, struct connection *connection,
                                       struct data_place *place) {
    struct data_event *event = ring.ringbuf_reserve(FULL_RECORD);
    if (event)
        fill_and_submit(event, frame, connection, place, CHUNK_BYTES, FULL_RECORD);
    else
        count_lost(place->length);
}

/* Records come in size classes, so that their space is reserved at a constant size and filled in place. */
static __always_inline void emit_tail(struct frame *frame, struct connection *connection,
                                      struct data_place *place, u64 bytes) {
    struct data_event *event;
    u64 room;
    asm volatile("" : "+r"(bytes)); /* or clang compares something else than what it passes on */
    if (bytes <= 256 - sizeof(*event)) {
        room = 256;
        event = ring.ringbuf_reserve(256);
    } else if (bytes <= 1024 - sizeof(*event)) {
        room = 1024;
        event = ring.ringbuf_reserve(1024);
    } else if (bytes <= 4096 - sizeof(*event)) {
        room = 4096;
        event = ring.ringbuf_reserve(4096);
    } else if (bytes <= 8192 - sizeof(*event)) {
        room = 8192;
        event = ring.ringbuf_reserve(8192);
    } else if (bytes <= CHUNK_BYTES) {
        room = FULL_RECORD;
        event = ring.ringbuf_reserve(FULL_RECORD);
    } else {
        return;
    }
    if (event)
        fill_and_submit(event, frame, connection, place, bytes, room);
    else
        count_lost(place->length);
}

/* All bytes of a place, `place->length` > 0. */
static __always_inline void emit_data(struct frame *frame, struct connection *connection,
                                      struct data_place *place) {
    u64 left = place->length;
    for (u32 i = 0; i < MAX_CHUNKS; i++) {
        asm volatile("" : "+r"(i)); /* or clang turns the loop test into one the verifier can't follow */
        if (left <= CHUNK_BYTES)
            break;
        place->length = CHUNK_BYTES;
        emit_chunk(frame, connection, place);
        place->address += CHUNK_BYTES;
        place->offset += CHUNK_BYTES;
        left -= CHUNK_BYTES;
    }
    if (!left)
        return;
    u64 bytes = left;
    if (bytes > CHUNK_BYTES) {
        count(COUNT_BEYOND_BOUND, bytes - CHUNK_BYTES);
        bytes = CHUNK_BYTES;
    }
    place->length = left;
    emit_tail(frame, connection, place, bytes);
}

/* The next `moved` bytes of the frame's direction get their place in the stream. */
static __always_inline void take_place(struct frame *frame, struct connection *connection, u64 moved,
                                       struct data_place *place) {
    u64 *stream = frame->direction == DIRECTION_WRITE ? &connection->moved[DIRECTION_WRITE]
                                                      : &connection->moved[DIRECTION_READ];
    place->address = frame->buffer;
    place->offset = *stream;
    place->length = moved;
    place->start_ns = frame->start_ns;
    place->direction = frame->direction;
    place->held = 0;
    *stream += moved;
}
