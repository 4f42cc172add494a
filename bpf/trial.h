/* What calls of probes on trial say for or against them. A probe that was found by what a function looks like
 * must prove that it is that function, before what it captures is shown. */

#define LOWEST_ADDRESS 4096
#define HIGHEST_ADDRESS (1ULL << 56) /* aarch64 has a tag above */
#define HANDLE_ALIGNMENT 8

/* From now on what the process moves on its sockets is counted. */
static __always_inline void watch_process(void) {
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    if (traffic.lookup(&tgid))
        return;
    struct traffic none = {};
    traffic.update(&tgid, &none);
}

static __always_inline bool is_readable(u64 address) {
    u8 byte = 0;
#if defined(__aarch64__)
    address &= HIGHEST_ADDRESS - 1;
#endif
    return address >= LOWEST_ADDRESS && address < HIGHEST_ADDRESS &&
           !bpf_probe_read_user(&byte, sizeof(byte), (void *)address);
}

/* Lengths are C ints in every function that is found so. */
static __always_inline bool is_plausible(struct frame *frame, u64 moved) {
    return !frame->implausible && (s32)frame->length > 0 && moved <= (u32)frame->length &&
           !(frame->handle & (HANDLE_ALIGNMENT - 1)) && is_readable(frame->handle) &&
           is_readable(frame->buffer) && is_readable(frame->buffer + moved - 1);
}

/* A call moved data (`place` says what), or claims to have moved too much. */
static __always_inline void emit_evidence(struct frame *frame, struct connection *connection,
                                          struct data_place *place) {
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    u32 key = (u32)frame->image << 16 | frame->probe;
    struct connection none = {};
    if (!(connection || frame->implausible) || !trials.lookup(&key))
        return;
    struct evidence_event *event = ring.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_lost(0);
        return;
    }
    fill_header(&event->header, EVENT_EVIDENCE, frame->handle, connection ? connection : &none, frame->probe,
                frame->image);
    event->asked = frame->length;
    event->moved = connection ? place->length : 0;
    event->in_call[DIRECTION_READ] = frame->in_call[DIRECTION_READ];
    event->in_call[DIRECTION_WRITE] = frame->in_call[DIRECTION_WRITE];
    struct traffic *process = traffic.lookup(&tgid);
    event->in_process[DIRECTION_READ] = process ? process->moved[DIRECTION_READ] : 0;
    event->in_process[DIRECTION_WRITE] = process ? process->moved[DIRECTION_WRITE] : 0;
    event->direction = frame->direction;
    event->plausible = is_plausible(frame, event->moved);
    ring.ringbuf_submit(event, wake_flags(sizeof(*event)));
}
