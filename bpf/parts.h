/* Bytes that are in several parts of the process's memory. A program emits one part and jumps to itself for the
 * next: all in one, and the verifier takes too long. */

#define MAX_PARTS 16

struct part {
    u64 address;
    u32 length;
    u32 unused;
};

/* On the exit of a call: `place` is the stream's, frame->buffer and frame->length are the array of parts. */
static __always_inline void emit_parts(struct pt_regs *ctx, struct frame *frame, struct data_place *place) {
    place->left = place->length;
    place->parts = frame->buffer;
    place->next_part = 0;
    place->part_count = frame->length;
    programs.call(ctx, PROGRAM_PARTS);
}

int on_parts(struct pt_regs *ctx) {
    u64 id = bpf_get_current_pid_tgid();
    struct thread *thread = threads.lookup(&id);
    if (!thread)
        return 0;
    struct data_place *place = &thread->place;
    struct frame *frame = &thread->frames[thread->depth & (MAX_DEPTH - 1)]; /* the one just popped */
    struct connection_key key = connection_key_of(frame->handle);
    struct connection *connection = connections.lookup(&key);
    if (!connection || !place->left)
        return 0;
    if (place->next_part >= MAX_PARTS || place->next_part >= place->part_count) {
        count(COUNT_BEYOND_BOUND, place->left);
        return 0;
    }
    struct part part = {};
    bpf_probe_read_user(&part, sizeof(part), (void *)(place->parts + place->next_part * sizeof(part)));
    u64 bytes = part.length < place->left ? part.length : place->left;
    place->next_part++;
    if (bytes) {
        u64 next_offset = place->offset + bytes;
        place->address = part.address;
        place->length = bytes;
        place->left -= bytes;
        emit_data(frame, connection, place);
        place->offset = next_offset;
    }
    programs.call(ctx, PROGRAM_PARTS);
    return 0;
}
