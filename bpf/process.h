/* The life of processes and threads, by raw tracepoints. */

/* The reader is woken at once: what /proc says of a process is gone when the process is. For those that end
 * sooner still, the path of the program as it was executed goes along. */
int on_process_exec(struct bpf_raw_tracepoint_args *ctx) {
#ifdef FILTER_PIDS
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    if (!filter_pids.lookup(&tgid))
        return 0;
#endif
    struct detail_event *event = ring.ringbuf_reserve(sizeof(*event));
    if (!event) {
        count_lost(0);
        return 0;
    }
    fill_process_header(&event->header, EVENT_EXEC);
#ifdef OFFSET_BINARY_PATH
    /* struct linux_binprm is the third argument; `interp` is the file that really runs, also for scripts. */
    u64 path = kernel_word(ctx->args[2] + OFFSET_BINARY_PATH);
    s64 bytes = bpf_probe_read_kernel_str(event->text, DETAIL_BYTES, (void *)path) - 1;
    event->header.detail = bytes > 0 ? bytes : 0;
#endif
    ring.ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
    return 0;
}

/* Whether the process ends with this thread: the first thread may end long before the others. */
static __always_inline bool is_last_thread(u64 id) {
#ifdef OFFSET_SIGNAL_LIVE
    u64 signal = kernel_word(bpf_get_current_task() + OFFSET_TASK_SIGNAL);
    u32 live = 0;
    bpf_probe_read_kernel(&live, sizeof(live), (void *)(signal + OFFSET_SIGNAL_LIVE));
    return !live;
#else
    return id >> 32 == (u32)id;
#endif
}

int on_process_exit(struct bpf_raw_tracepoint_args *ctx) {
    u64 id = bpf_get_current_pid_tgid();
    u32 tgid = id >> 32;
    threads.delete(&id);
    if (!is_last_thread(id))
        return 0;
#ifdef FOLLOW_CHILDREN
    filter_pids.delete(&tgid);
#endif
    if (!tls_processes.lookup(&tgid))
        return 0;
    tls_processes.delete(&tgid);
    emit_process_event(EVENT_EXIT);
    return 0;
}

#ifdef FOLLOW_CHILDREN
/* With a command to run, its children are traced too. */
int on_process_fork(struct bpf_raw_tracepoint_args *ctx) {
    u32 parent = bpf_get_current_pid_tgid() >> 32;
    if (!filter_pids.lookup(&parent))
        return 0;
    u32 child = 0;
    bpf_probe_read_kernel(&child, sizeof(child), (void *)(ctx->args[1] + OFFSET_TASK_TGID));
    u8 one = 1;
    if (child)
        filter_pids.update(&child, &one);
    return 0;
}
#endif
