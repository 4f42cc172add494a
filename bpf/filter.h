/* Which processes are traced. Decided before anything is copied; kinds of filters are ANDed.
 * The engine defines FILTER_PIDS, FILTER_UIDS, FILTER_COMMS, FILTER_EXES as far as the user gave them. */

static __always_inline u64 kernel_word(u64 address) {
    u64 word = 0;
    bpf_probe_read_kernel(&word, sizeof(word), (void *)address);
    return word;
}

/* The thread's name, or its process's: "firefox" also finds firefox's "Socket Thread". */
static __always_inline bool comm_selected(void) {
    struct comm comm = {};
    bpf_get_current_comm(comm.text, sizeof(comm.text));
    if (filter_comms.lookup(&comm))
        return true;
#ifdef OFFSET_TASK_GROUP_LEADER
    u64 leader = kernel_word(bpf_get_current_task() + OFFSET_TASK_GROUP_LEADER);
    bpf_probe_read_kernel_str(comm.text, sizeof(comm.text), (void *)(leader + OFFSET_TASK_COMM));
    if (filter_comms.lookup(&comm))
        return true;
#endif
    return false;
}

#ifdef FILTER_EXES
static __always_inline bool exe_selected(void) {
    struct file_id id = {};
    u64 memory = kernel_word(bpf_get_current_task() + OFFSET_TASK_MM);
    u64 file = kernel_word(memory + OFFSET_MM_EXE_FILE);
    u64 inode = kernel_word(file + OFFSET_FILE_INODE);
    u64 super_block = kernel_word(inode + OFFSET_INODE_SUPER_BLOCK);
    u32 device = 0;
    bpf_probe_read_kernel(&device, sizeof(device), (void *)(super_block + OFFSET_SUPER_BLOCK_DEVICE));
    id.inode = kernel_word(inode + OFFSET_INODE_NUMBER);
    id.device = device;
    return filter_exes.lookup(&id) != 0;
}
#endif

static __always_inline bool selected(void) {
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    if (tgid == OWN_TGID)
        return false;
#ifdef FILTER_PIDS
    if (!filter_pids.lookup(&tgid))
        return false;
#endif
#ifdef FILTER_UIDS
    u32 uid = bpf_get_current_uid_gid();
    if (!filter_uids.lookup(&uid))
        return false;
#endif
#ifdef FILTER_COMMS
    if (!comm_selected())
        return false;
#endif
#ifdef FILTER_EXES
    if (!exe_selected())
        return false;
#endif
    return true;
}
