/* Entry and exit of probed functions. One entry and one exit program serve all of them: what differs is in
 * `probes`. Calls are frames on a small stack for each thread, since TLS runs inside TLS, callbacks write on
 * other connections, and exported functions call one another. Data is emitted on return, never on entry. */

#if defined(__x86_64__)
#define STACK_POINTER_AT_ENTRY(ctx) (PT_REGS_SP(ctx) - 8) /* the return has popped its address */
static __always_inline u64 return_address(struct pt_regs *ctx) {
    u64 address = 0;
    bpf_probe_read_user(&address, sizeof(address), (void *)PT_REGS_SP(ctx));
    return address;
}
#else
#define STACK_POINTER_AT_ENTRY(ctx) PT_REGS_SP(ctx)
static __always_inline u64 return_address(struct pt_regs *ctx) {
    return ctx->regs[30];
}
#endif

/* Whether the call comes from one of the places that count. Both addresses move together. */
static __always_inline bool from_call_site(struct pt_regs *ctx, u32 probe, u32 image) {
    struct call_site site = {
        .distance = return_address(ctx) - PT_REGS_IP(ctx), .probe = probe, .image = image};
    return call_sites.lookup(&site) != 0;
}

/* The six arguments in registers. They are all read at once: picked by number from the context itself, clang
 * makes one load at a computed address of it, which the verifier forbids. */
struct arguments {
    u64 first, second, third, fourth, fifth, sixth;
};

static __always_inline void read_arguments(struct pt_regs *ctx, volatile struct arguments *arguments) {
    arguments->first = PT_REGS_PARM1(ctx);
    arguments->second = PT_REGS_PARM2(ctx);
    arguments->third = PT_REGS_PARM3(ctx);
    arguments->fourth = PT_REGS_PARM4(ctx);
    arguments->fifth = PT_REGS_PARM5(ctx);
    arguments->sixth = PT_REGS_PARM6(ctx);
}

static __always_inline u64 argument(volatile struct arguments *arguments, u8 number) {
    switch (number) {
    case 1:
        return arguments->first;
    case 2:
        return arguments->second;
    case 3:
        return arguments->third;
    case 4:
        return arguments->fourth;
    case 5:
        return arguments->fifth;
    case 6:
        return arguments->sixth;
    }
    return 0;
}

/* ---- entry ---- */

/* Frames at or below the new one on the stack were left without a return (longjmp, a thread's end). */
static __always_inline void drop_stale_frames(struct thread *thread, u64 stack_pointer) {
#pragma unroll
    for (int i = 0; i < MAX_DEPTH; i++) {
        u32 depth = thread->depth;
        if (!depth || thread->frames[(depth - 1) & (MAX_DEPTH - 1)].stack_pointer > stack_pointer)
            break;
        thread->depth = depth - 1;
    }
}

/* Functions that move data are one kind of call. */
static __always_inline u8 frame_kind(u8 kind) {
    return kind == PROBE_FLUSH || kind == PROBE_PACKET ? PROBE_DATA : kind;
}

/* A call inside one of the same kind on the same connection is a part of it. */
static __always_inline bool part_of_outer(struct thread *thread, struct probe *probe, u64 handle) {
    u8 kind = frame_kind(probe->kind);
#pragma unroll
    for (u32 i = 0; i < MAX_DEPTH; i++) {
        struct frame *outer = &thread->frames[i];
        if (i < thread->depth && outer->kind == kind && outer->direction == probe->direction &&
            outer->handle == handle)
            return true;
    }
    return false;
}

static __always_inline struct thread *current_thread(u64 id) {
    struct thread *thread = threads.lookup(&id);
    if (thread)
        return thread;
    int zero = 0;
    struct thread *blank = blank_thread.lookup(&zero);
    if (!blank)
        return 0;
    threads.update(&id, blank);
    return threads.lookup(&id);
}

static __always_inline void push_frame(struct probe *probe, volatile struct arguments *arguments, u64 handle,
                                       u64 stack_pointer, u16 index, u16 image, bool on_trial) {
    u64 id = bpf_get_current_pid_tgid();
    struct thread *thread = current_thread(id);
    if (!thread)
        return;
    drop_stale_frames(thread, stack_pointer);
    if (part_of_outer(thread, probe, handle))
        return;
    u32 depth = thread->depth;
    if (depth >= MAX_DEPTH) {
        count(COUNT_NESTED_TOO_DEEP, 1);
        return;
    }
    struct frame *frame = &thread->frames[depth & (MAX_DEPTH - 1)];
    thread->depth = depth + 1;
    frame->stack_pointer = stack_pointer;
    frame->handle = handle;
    frame->buffer = argument(arguments, probe->buffer);
    frame->length = argument(arguments, probe->length);
    frame->moved = argument(arguments, probe->moved);
    frame->start_ns = bpf_ktime_get_ns();
    frame->socket = 0;
    frame->known_socket = 0;
    frame->in_call[DIRECTION_READ] = 0;
    frame->in_call[DIRECTION_WRITE] = 0;
    frame->on_trial = on_trial;
    frame->implausible = 0;
    frame->probe = index;
    frame->image = image;
    frame->kind = frame_kind(probe->kind);
    frame->direction = probe->direction;
    frame->inferred = 0;
    frame->address_read = 0;
    struct connection_key key = {.handle = handle, .tgid = id >> 32};
    struct connection *connection = connections.lookup(&key);
    if (connection)
        frame->known_socket = connection->socket;
}

static __always_inline bool inside_birth(void) {
    u64 id = bpf_get_current_pid_tgid();
    struct thread *thread = threads.lookup(&id);
    if (!thread || !thread->depth)
        return false;
    return thread->frames[(thread->depth - 1) & (MAX_DEPTH - 1)].kind == PROBE_BIRTH;
}

static __always_inline void take_role(u64 handle, u8 role) {
    struct connection_key key = connection_key_of(handle);
    struct connection *connection = connections.lookup(&key);
    if (connection)
        connection->flags = (connection->flags & ~(FLAG_CLIENT | FLAG_SERVER)) | role;
}

static __always_inline void take_reference(u64 handle) {
    struct connection_key key = connection_key_of(handle);
    struct connection *connection = connections.lookup(&key);
    if (connection)
        connection->references++;
}

static __always_inline void enter(struct pt_regs *ctx, u32 index, u16 image, bool on_trial) {
    struct probe *probe = probes.lookup(&index);
    if (!probe || !probe->kind || !selected() || !wanted(ctx, index))
        return; /* blank: being detached */
    if (probe->only_from && !from_call_site(ctx, index, image))
        return;
    if (on_trial)
        watch_process();
    volatile struct arguments arguments;
    read_arguments(ctx, &arguments);
    u64 handle = argument(&arguments, probe->handle);
    if (probe->handle) {
        handle = identified(index, handle);
        if (!handle)
            return;
    }
    switch (probe->kind) {
    case PROBE_BIRTH:
        if (probe->handle) {
            if (inside_birth())
                return;
            end_handle(handle, true, index, image);
            return;
        }
        break;
    case PROBE_FREE:
        end_handle(handle, false, index, image);
        return;
    case PROBE_REFERENCE:
        take_reference(handle);
        return;
    case PROBE_ROLE:
        take_role(handle, probe->role);
        return;
    }
    push_frame(probe, &arguments, handle, PT_REGS_SP(ctx), index, image, on_trial);
}

/* ---- exit ---- */

static __always_inline bool succeeded(struct probe *probe, s32 returned) {
    switch (probe->success) {
    case SUCCESS_POSITIVE:
        return returned > 0;
    case SUCCESS_ONE:
        return returned == 1;
    case SUCCESS_ANY:
        return true;
    }
    return returned == 0;
}

/* `limit` is the length asked for. */
static __always_inline u64 moved_length(struct probe *probe, struct frame *frame, u64 limit, s32 returned) {
    u64 moved = 0;
    if (!succeeded(probe, returned))
        return 0;
    if (probe->length_source == LENGTH_RETURNED)
        moved = returned;
    else if (probe->moved_size == 4)
        bpf_probe_read_user(&moved, 4, (void *)frame->moved);
    else
        bpf_probe_read_user(&moved, 8, (void *)frame->moved);
    if (probe->length && !probe->vector && moved > limit) {
        count(COUNT_IMPLAUSIBLE, 1);
        frame->implausible = 1;
        return 0;
    }
    return moved;
}

/* Data, a flush, a packet. Returns the connection if there is something to emit now: what `place` says. */
static __always_inline struct connection *exit_data(struct thread *thread, struct frame *frame,
                                                    struct probe *probe, s32 returned,
                                                    struct data_place *place) {
    struct connection_key key = connection_key_of(frame->handle);
    struct connection *connection = connections.lookup(&key);
    bool sends_held = probe->pending[0] || probe->kind == PROBE_FLUSH;
    u32 was_held = connection && sends_held ? connection->held : 0;
    u64 moved = 0;
    if (probe->kind != PROBE_FLUSH)
        moved = moved_length(probe, frame, was_held ? was_held : frame->length, returned);
    else if (returned >= 0)
        moved = was_held;
    bool pending = is_pending(probe, returned);
    if (!moved && !pending && !frame->socket)
        return 0;
    if (!connection) {
        if (!moved && !pending)
            return 0;
        connection = new_connection(&key, 0, frame->probe, frame->image);
        if (!connection) {
            count_lost(moved);
            return 0;
        }
    }
    learn_socket(thread, frame, connection, moved && frame->direction == DIRECTION_READ);
    if (pending)
        hold(&key, connection, frame);
    if (!moved)
        return 0;
    take_place(frame, connection, moved, place);
    if (probe->kind == PROBE_PACKET) {
        keep_packet(frame, connection, place);
        return 0;
    }
    if (was_held)
        release(&key, connection, place);
    return connection;
}

static __always_inline void exit_handshake(struct thread *thread, struct frame *frame, struct probe *probe,
                                           s32 returned) {
    struct connection_key key = connection_key_of(frame->handle);
    struct connection *connection = connection_of(&key, frame->probe, frame->image);
    if (!connection)
        return;
    bool ok = succeeded(probe, returned);
    learn_socket(thread, frame, connection, ok);
    if (connection->handshake_done)
        return;
    if (!connection->handshake_start_ns)
        connection->handshake_start_ns = frame->start_ns;
    connection->handshake_last_ns = bpf_ktime_get_ns();
    if (!ok)
        return;
    connection->handshake_done = 1;
    struct handshake_event *event = ring.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_lost(0);
        return;
    }
    fill_header(&event->header, EVENT_HANDSHAKE, frame->handle, connection, frame->probe, frame->image);
    event->header.detail = 1;
    event->duration_ns = connection->handshake_last_ns - connection->handshake_start_ns;
#ifdef SOCKETS_SYSCALL
    /* /proc knows the descriptor's socket only while it is open. */
    ring.ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
#else
    ring.ringbuf_submit(event, wake_flags(sizeof(*event)));
#endif
}

/* The library made a new handle. */
static __always_inline void exit_birth(struct frame *frame, struct probe *probe, u64 returned) {
    u64 handle = returned;
    if (probe->moved) {
        handle = 0;
        if ((s32)returned == 0)
            bpf_probe_read_user(&handle, sizeof(handle), (void *)frame->moved);
    }
    if (handle)
        handle = identified(frame->probe, handle);
    if (handle)
        begin_connection(handle, probe->role, frame->probe, frame->image);
}

/* The frame of the call that returns now; those above it never returned. */
static __always_inline struct frame *pop_frame(struct thread *thread, u64 stack_pointer) {
#pragma unroll
    for (int i = 0; i < MAX_DEPTH; i++) {
        u32 depth = thread->depth;
        if (!depth)
            return 0;
        struct frame *frame = &thread->frames[(depth - 1) & (MAX_DEPTH - 1)];
        if (frame->stack_pointer > stack_pointer)
            return 0; /* the returning call was not tracked */
        thread->depth = depth - 1;
        if (frame->stack_pointer == stack_pointer)
            return frame;
    }
    return 0;
}

/* What a nested call learnt about the socket holds for the calls around it, as a conclusion. */
static __always_inline void tell_outer(struct thread *thread, struct frame *frame) {
    if (!thread->depth)
        return;
    struct frame *outer = &thread->frames[(thread->depth - 1) & (MAX_DEPTH - 1)];
    if (outer == frame)
        return;
    outer->in_call[DIRECTION_READ] += frame->in_call[DIRECTION_READ];
    outer->in_call[DIRECTION_WRITE] += frame->in_call[DIRECTION_WRITE];
    if (!frame->socket || outer->socket || outer->known_socket)
        return;
    struct connection_key key = connection_key_of(frame->handle);
    struct connection *connection = connections.lookup(&key);
    if (!connection)
        return;
    outer->socket = frame->socket;
    outer->address = connection->address;
    outer->address_read = 1;
    outer->inferred = frame->inferred || outer->handle != frame->handle;
}

int on_exit(struct pt_regs *ctx) {
    u64 id = bpf_get_current_pid_tgid();
    struct thread *thread = threads.lookup(&id);
    if (!thread)
        return 0;
    struct frame *frame = pop_frame(thread, STACK_POINTER_AT_ENTRY(ctx));
    if (!frame)
        return 0;
    u32 index = frame->probe;
    struct probe *probe = probes.lookup(&index);
    if (!probe)
        return 0;
    u64 returned = PT_REGS_RC(ctx);
    struct connection *connection = 0;
    struct data_place *place = &thread->place;
    switch (probe->kind) {
    case PROBE_DATA:
    case PROBE_FLUSH:
    case PROBE_PACKET:
        connection = exit_data(thread, frame, probe, returned, place);
        break;
    case PROBE_CONTENT:
        connection = exit_content(frame, place);
        break;
    case PROBE_HANDSHAKE:
        exit_handshake(thread, frame, probe, returned);
        break;
    case PROBE_BIRTH:
        exit_birth(frame, probe, returned);
        return 0;
    case PROBE_DETAIL:
        if (succeeded(probe, returned))
            exit_detail(frame, probe, returned);
        return 0;
    }
    if (frame->on_trial)
        emit_evidence(frame, connection, place);
    tell_outer(thread, frame);
    if (connection && probe->vector)
        emit_parts(ctx, frame, place);
    else if (connection)
        emit_data(frame, connection, place);
    return 0;
}
