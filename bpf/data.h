/* Emission of a call's bytes: all of them, in chunks, each with its place in the connection's stream. */

#define CHUNK_BYTES 16384
#define MAX_CHUNKS 256
#define MAX_CALL_BYTES ((u64)CHUNK_BYTES * MAX_CHUNKS)

struct data_place {
    u64 address; /* in the process */
    u64 offset;  /* in the stream */
    u64 length;  /* of the stream */
    u64 start_ns;
    u32 direction;
};

static __always_inline void fill_data(struct data_event *event, struct frame *frame,
                                      struct connection *connection, struct data_place *place) {
    fill_header(&event->header, EVENT_DATA, frame->handle, connection, frame->probe, frame->image);
    event->offset = place->offset;
    event->length = place->length;
    event->duration_ns = event->header.time_ns - place->start_ns;
    event->direction = place->direction;
}

/* `bytes` is at most what the record has room for; the callers show it to the verifier. */
static __always_inline void copy_and_submit(struct data_event *event, u64 address, u64 bytes, u64 room) {
    event->captured = bytes;
    if (bpf_probe_read_user(event + 1, bytes, (void *)address)) {
        event->captured = 0;
        event->header.flags |= FLAG_UNREADABLE;
        count(COUNT_UNREADABLE, bytes);
    }
    ring.ringbuf_submit(event, wake_flags(room));
}

/* Records come in size classes, so that their space is reserved at a constant size and filled in place. */
#define CLASS_256 (256 - sizeof(struct data_event))
#define CLASS_1K (1024 - sizeof(struct data_event))
#define CLASS_4K (4096 - sizeof(struct data_event))
#define CLASS_8K (8192 - sizeof(struct data_event))

static __always_inline void emit_chunk(struct frame *frame, struct connection *connection,
                                       struct data_place *place) {
    struct data_event *event = ring.ringbuf_reserve(sizeof(struct data_event) + CHUNK_BYTES);
    if (!event) {
        count_lost(place->length);
        return;
    }
    fill_data(event, frame, connection, place);
    copy_and_submit(event, place->address, CHUNK_BYTES, sizeof(struct data_event) + CHUNK_BYTES);
}

#define EMIT_TAIL_CLASS(name, room)                                                                          \
    static __always_inline void name(struct data_event *event, struct frame *frame,                          \
                                     struct connection *connection, struct data_place *place, u64 bytes) {   \
        fill_data(event, frame, connection, place);                                                          \
        asm volatile("" : "+r"(bytes));                                                                      \
        if (bytes > (room))                                                                                  \
            bytes = (room);                                                                                  \
        copy_and_submit(event, place->address, bytes, sizeof(struct data_event) + (room));                   \
    }

EMIT_TAIL_CLASS(emit_256, CLASS_256)
EMIT_TAIL_CLASS(emit_1k, CLASS_1K)
EMIT_TAIL_CLASS(emit_4k, CLASS_4K)
EMIT_TAIL_CLASS(emit_8k, CLASS_8K)
EMIT_TAIL_CLASS(emit_16k, CHUNK_BYTES)

static __always_inline void emit_tail(struct frame *frame, struct connection *connection,
                                      struct data_place *place, u64 bytes) {
    struct data_event *event;
    if (bytes <= CLASS_256) {
        event = ring.ringbuf_reserve(256);
        if (event) {
            emit_256(event, frame, connection, place, bytes);
            return;
        }
    } else if (bytes <= CLASS_1K) {
        event = ring.ringbuf_reserve(1024);
        if (event) {
            emit_1k(event, frame, connection, place, bytes);
            return;
        }
    } else if (bytes <= CLASS_4K) {
        event = ring.ringbuf_reserve(4096);
        if (event) {
            emit_4k(event, frame, connection, place, bytes);
            return;
        }
    } else if (bytes <= CLASS_8K) {
        event = ring.ringbuf_reserve(8192);
        if (event) {
            emit_8k(event, frame, connection, place, bytes);
            return;
        }
    } else {
        event = ring.ringbuf_reserve(sizeof(struct data_event) + CHUNK_BYTES);
        if (event) {
            emit_16k(event, frame, connection, place, bytes);
            return;
        }
    }
    count_lost(place->length);
}

/* `moved` > 0 bytes at frame->buffer. */
static __always_inline void emit_data(struct frame *frame, struct connection *connection, u64 moved) {
    struct data_place place = {
        .address = frame->buffer,
        .start_ns = frame->start_ns,
        .direction = frame->direction,
    };
    u64 *stream = frame->direction == DIRECTION_WRITE ? &connection->moved[DIRECTION_WRITE]
                                                      : &connection->moved[DIRECTION_READ];
    place.offset = *stream;
    *stream += moved;
    u64 left = moved;
    for (u32 i = 0; i < MAX_CHUNKS; i++) {
        asm volatile("" : "+r"(i)); /* or clang turns the loop test into one the verifier can't follow */
        if (left <= CHUNK_BYTES)
            break;
        place.length = CHUNK_BYTES;
        emit_chunk(frame, connection, &place);
        place.address += CHUNK_BYTES;
        place.offset += CHUNK_BYTES;
        left -= CHUNK_BYTES;
    }
    if (!left)
        return;
    u64 bytes = left;
    if (bytes > CHUNK_BYTES) {
        count(COUNT_BEYOND_BOUND, bytes - CHUNK_BYTES);
        bytes = CHUNK_BYTES;
    }
    place.length = left;
    emit_tail(frame, connection, &place, bytes);
}
