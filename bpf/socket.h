/* Which socket a TLS call uses: noted while the thread is inside the call, for every library alike.
 * The engine defines one of SOCKETS_TRACEPOINT, SOCKETS_KPROBE, SOCKETS_SYSCALL, or none. */

#if defined(SOCKETS_TRACEPOINT) || defined(SOCKETS_KPROBE)

static __always_inline bool read_address(u64 socket, struct address *address) {
    u16 family = 0, local_port = 0, remote_port = 0;
    bpf_probe_read_kernel(&family, sizeof(family), (void *)(socket + OFFSET_SOCK_FAMILY));
    if (family != FAMILY_INET && family != FAMILY_INET6)
        return false;
    bpf_probe_read_kernel(&local_port, sizeof(local_port), (void *)(socket + OFFSET_SOCK_LOCAL_PORT));
    bpf_probe_read_kernel(&remote_port, sizeof(remote_port), (void *)(socket + OFFSET_SOCK_REMOTE_PORT));
    address->family = family;
    address->local_port = local_port;
    address->remote_port = bpf_ntohs(remote_port);
    if (family == FAMILY_INET) {
        __builtin_memset(address->local, 0, 16);
        __builtin_memset(address->remote, 0, 16);
        bpf_probe_read_kernel(address->local, 4, (void *)(socket + OFFSET_SOCK_LOCAL));
        bpf_probe_read_kernel(address->remote, 4, (void *)(socket + OFFSET_SOCK_REMOTE));
    } else {
        bpf_probe_read_kernel(address->local, 16, (void *)(socket + OFFSET_SOCK_LOCAL6));
        bpf_probe_read_kernel(address->remote, 16, (void *)(socket + OFFSET_SOCK_REMOTE6));
    }
    return true;
}

static __always_inline void note_socket(u64 socket, bool received) {
    u64 id = bpf_get_current_pid_tgid();
    struct thread *thread = threads.lookup(&id);
    if (!thread)
        return;
    if (thread->depth) {
        struct frame *frame = &thread->frames[(thread->depth - 1) & (MAX_DEPTH - 1)];
        if (frame->socket == socket && !frame->inferred)
            return;
        if (frame->known_socket == socket) {
            frame->socket = socket;
            frame->address_read = 0;
            frame->inferred = 0;
        } else if (read_address(socket, &frame->address)) {
            frame->socket = socket;
            frame->address_read = 1;
            frame->inferred = 0;
        }
    } else if (received && read_address(socket, &thread->received)) {
        /* Not remembered by pointer: the socket may be gone when the bytes are decrypted. */
        thread->received_fresh = 1;
    }
}

/* What is known of a call that is on trial is how it agrees with this. */
static __always_inline void count_moved(u32 direction, s64 bytes) {
    u64 id = bpf_get_current_pid_tgid();
    u32 tgid = id >> 32;
    if (bytes <= 0)
        return;
    struct traffic *process = traffic.lookup(&tgid);
    if (!process)
        return;
    __sync_fetch_and_add(direction == DIRECTION_WRITE ? &process->moved[DIRECTION_WRITE]
                                                      : &process->moved[DIRECTION_READ],
                         bytes);
    struct thread *thread = threads.lookup(&id);
    if (!thread || !thread->depth)
        return;
    struct frame *frame = &thread->frames[(thread->depth - 1) & (MAX_DEPTH - 1)];
    if (direction == DIRECTION_WRITE)
        frame->in_call[DIRECTION_WRITE] += bytes;
    else
        frame->in_call[DIRECTION_READ] += bytes;
}

#endif

#ifdef SOCKETS_TRACEPOINT

int on_socket_send(struct bpf_raw_tracepoint_args *ctx) {
    note_socket(ctx->args[0], false);
    count_moved(DIRECTION_WRITE, (s32)ctx->args[1]);
    return 0;
}

int on_socket_receive(struct bpf_raw_tracepoint_args *ctx) {
    if ((int)ctx->args[1] > 0)
        note_socket(ctx->args[0], true);
    count_moved(DIRECTION_READ, (s32)ctx->args[1]);
    return 0;
}

#endif

#ifdef SOCKETS_KPROBE

int on_tcp_sendmsg(struct pt_regs *ctx) {
    note_socket(PT_REGS_PARM1(ctx), false);
    return 0;
}

int on_tcp_recvmsg(struct pt_regs *ctx) {
    note_socket(PT_REGS_PARM1(ctx), true);
    return 0;
}

int on_tcp_sendmsg_return(struct pt_regs *ctx) {
    count_moved(DIRECTION_WRITE, (s32)PT_REGS_RC(ctx));
    return 0;
}

int on_tcp_recvmsg_return(struct pt_regs *ctx) {
    count_moved(DIRECTION_READ, (s32)PT_REGS_RC(ctx));
    return 0;
}

#endif

#ifdef SOCKETS_SYSCALL

/* Only the descriptor is known; the reader asks /proc what it is. */
int on_syscall(struct bpf_raw_tracepoint_args *ctx) {
    u64 id = bpf_get_current_pid_tgid();
    struct thread *thread = threads.lookup(&id);
    if (!thread || !thread->depth)
        return 0;
    switch (ctx->args[1]) {
#if defined(__x86_64__)
    case 0:  /* read */
    case 1:  /* write */
    case 19: /* readv */
    case 20: /* writev */
    case 44: /* sendto */
    case 45: /* recvfrom */
    case 46: /* sendmsg */
    case 47: /* recvmsg */
#else
    case 63:  /* read */
    case 64:  /* write */
    case 65:  /* readv */
    case 66:  /* writev */
    case 206: /* sendto */
    case 207: /* recvfrom */
    case 211: /* sendmsg */
    case 212: /* recvmsg */
#endif
        break;
    default:
        return 0;
    }
    struct frame *frame = &thread->frames[(thread->depth - 1) & (MAX_DEPTH - 1)];
    u64 descriptor = kernel_word(ctx->args[0] + OFFSET_REGS_ARGUMENT1) & 0xffffffff;
    frame->socket = descriptor + 1; /* never 0 */
    frame->inferred = 0;
    frame->address_read = 0;
    if (frame->known_socket == frame->socket)
        return 0;
    __builtin_memset(&frame->address, 0, sizeof(frame->address));
    frame->address.family = FAMILY_DESCRIPTOR;
    frame->address.local_port = descriptor;
    frame->address_read = 1;
    return 0;
}

#endif

/* What a finished call learnt about its connection's socket. `progress`: it received something, so that the
 * socket from which the thread last received may be the one behind a memory buffer. */
static __always_inline void learn_socket(struct thread *thread, struct frame *frame,
                                         struct connection *connection, bool progress) {
    if (frame->socket) {
        if (frame->address_read) {
            connection->socket = frame->inferred ? 0 : frame->socket;
            connection->address = frame->address;
            if (frame->inferred)
                connection->flags |= FLAG_INFERRED;
            else
                connection->flags &= ~FLAG_INFERRED;
        }
    } else if (progress && thread->received_fresh && connection->address.family == FAMILY_NONE) {
        connection->address = thread->received;
        connection->flags |= FLAG_INFERRED;
    }
    if (progress)
        thread->received_fresh = 0;
}
