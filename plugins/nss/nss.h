/* NSS's part of the BPF program.
 *
 * NSPR stacks layers on a file descriptor, and what is pushed later takes the place of what was there: the
 * pointer that the application holds is not always that of the TLS layer. What stays the same is the layer's
 * `secret`, which for NSS is the struct of its socket; so that tells connections apart. */

struct nss_descriptor { /* struct PRFileDesc, public in NSPR's prio.h */
    u64 methods;
    u64 secret;
    u64 lower;
};

#define NSS_MAX_LAYERS 6

/* From NSPR's prio.h and NSS's ssl.h */
#define NSS_MSG_PEEK 2
#define NSS_HANDSHAKE_AS_CLIENT 5
#define NSS_HANDSHAKE_AS_SERVER 6

/* The method tables of TLS layers, learnt from SSL_ImportFD where the functions in them can't be found. */
struct nss_table {
    u64 methods;
    u32 tgid;
    u32 zero;
};
BPF_TABLE("lru_hash", struct nss_table, u8, nss_tables, 4096);

static __always_inline struct nss_table nss_table_of(u64 methods) {
    struct nss_table table = {.methods = methods, .tgid = bpf_get_current_pid_tgid() >> 32};
    return table;
}

/* The descriptor is the TLS layer itself. */
static __always_inline u64 nss_layer(u64 descriptor) {
    struct nss_descriptor layer = {};
    bpf_probe_read_user(&layer, sizeof(layer), (void *)descriptor);
    return layer.secret;
}

/* SSL_ImportFD has just pushed its layer on top. */
static __always_inline u64 nss_learn_layer(u64 descriptor) {
    struct nss_descriptor layer = {};
    u8 one = 1;
    bpf_probe_read_user(&layer, sizeof(layer), (void *)descriptor);
    struct nss_table table = nss_table_of(layer.methods);
    nss_tables.update(&table, &one);
    return layer.secret;
}

static __always_inline bool nss_is_known(struct nss_descriptor *layer) {
    struct connection_key key = connection_key_of(layer->secret);
    return connections.lookup(&key);
}

static __always_inline bool nss_is_tls(struct nss_descriptor *layer) {
    struct nss_table table = nss_table_of(layer->methods);
    return nss_tables.lookup(&table);
}

/* The first layer at the descriptor or below it that is so; 0 if there is none. */
static __always_inline u64 nss_find_layer(u64 descriptor, bool (*is_it)(struct nss_descriptor *)) {
    struct nss_descriptor layer = {};
#pragma unroll
    for (int i = 0; i < NSS_MAX_LAYERS; i++) {
        if (!descriptor || bpf_probe_read_user(&layer, sizeof(layer), (void *)descriptor))
            return 0;
        if (is_it(&layer))
            return layer.secret;
        descriptor = layer.lower;
    }
    return 0;
}

/* A TLS layer whose connection is known already. */
static __always_inline u64 nss_known_layer(u64 descriptor) {
    return nss_find_layer(descriptor, nss_is_known);
}

/* A TLS layer by its methods: there is none in descriptors of files, pipes and plain sockets. */
static __always_inline u64 nss_tls_layer(u64 descriptor) {
    return nss_find_layer(descriptor, nss_is_tls);
}

/* recv(fd, buffer, length, flags, timeout): the bytes of a peek come again. */
static __always_inline bool nss_consumes(struct pt_regs *ctx) {
    return !(PT_REGS_PARM4(ctx) & NSS_MSG_PEEK);
}

/* SSL_OptionSet(fd, which, on) */
static __always_inline bool nss_becomes_client(struct pt_regs *ctx) {
    return (int)PT_REGS_PARM2(ctx) == NSS_HANDSHAKE_AS_CLIENT && (int)PT_REGS_PARM3(ctx);
}

static __always_inline bool nss_becomes_server(struct pt_regs *ctx) {
    return (int)PT_REGS_PARM2(ctx) == NSS_HANDSHAKE_AS_SERVER && (int)PT_REGS_PARM3(ctx);
}

/* SSL_ResetHandshake(fd, as_server) */
static __always_inline bool nss_resets_client(struct pt_regs *ctx) {
    return !(int)PT_REGS_PARM2(ctx);
}

static __always_inline bool nss_resets_server(struct pt_regs *ctx) {
    return (int)PT_REGS_PARM2(ctx);
}
