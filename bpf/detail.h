/* What a function that the application calls tells about its connection, as text or number. */

#define MAX_DETAILS 32 /* records for each connection */

/* Where the text is; 0: nowhere. */
static __always_inline u64 detail_address(struct probe *probe, u64 value) {
    u64 address = value;
    if (value && probe->has_pointer_offset)
        bpf_probe_read_user(&address, sizeof(address), (void *)(value + probe->pointer_offset));
    return address;
}

/* Its length, 0 if it has none; for text that a NUL ends, the most that is read. */
static __always_inline u32 detail_length(struct frame *frame, struct probe *probe, u64 value) {
    u32 length = 0;
    switch (probe->length_source) {
    case LENGTH_ARGUMENT:
        return frame->length > DETAIL_BYTES - 1 ? DETAIL_BYTES - 1 : frame->length;
    case LENGTH_OUT_POINTER:
        bpf_probe_read_user(&length, sizeof(length), (void *)frame->length);
        break;
    case LENGTH_OFFSET:
        bpf_probe_read_user(&length, sizeof(length), (void *)(value + probe->number));
        break;
    case LENGTH_FIXED:
        length = probe->number;
        break;
    default:
        length = DETAIL_BYTES - 1;
    }
    return length > DETAIL_BYTES - 1 ? DETAIL_BYTES - 1 : length;
}

/* Bytes of the value that were read; less than 1 if none. */
static __always_inline s64 read_detail(struct detail_event *event, struct probe *probe, u64 address,
                                       u32 length) {
    if (probe->length_source == LENGTH_NONE) {
        *(u32 *)event->text = address;
        return sizeof(u32);
    }
    if (probe->length_source == LENGTH_TERMINATED)
        return bpf_probe_read_user_str(event->text, DETAIL_BYTES, (void *)address) - 1;
    asm volatile("" : "+r"(length));
    length &= DETAIL_BYTES - 1;
    return bpf_probe_read_user(event->text, length, (void *)address) ? -1 : (s64)length;
}

static __always_inline void exit_detail(struct frame *frame, struct probe *probe, u64 returned) {
    u64 value = probe->buffer ? frame->buffer : returned;
    u64 address = detail_address(probe, value);
    u32 length = detail_length(frame, probe, value);
    if (probe->length_source != LENGTH_NONE && (!address || !length))
        return;
    struct connection_key key = connection_key_of(frame->handle);
    struct connection *connection = connection_of(&key, frame->probe, frame->image);
    if (!connection || connection->details >= MAX_DETAILS)
        return;
    connection->details++;
    struct detail_event *event = ring.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_lost(0);
        return;
    }
    fill_header(&event->header, EVENT_DETAIL, frame->handle, connection, frame->probe, frame->image);
    s64 bytes = read_detail(event, probe, address, length);
    if (bytes <= 0) {
        ring.ringbuf_discard(event, BPF_RB_NO_WAKEUP);
        return;
    }
    event->header.detail = bytes;
    ring.ringbuf_submit(event, wake_flags(sizeof(*event)));
}
