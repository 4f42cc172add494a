/* GnuTLS's part of the BPF program: conditions of its probes. */

#define GNUTLS_SERVER 1
#define GNUTLS_CLIENT 2

/* gnutls_init(*session, flags) */
static __always_inline bool gnutls_inits_client(struct pt_regs *ctx) {
    return PT_REGS_PARM2(ctx) & GNUTLS_CLIENT;
}

static __always_inline bool gnutls_inits_server(struct pt_regs *ctx) {
    return !(PT_REGS_PARM2(ctx) & GNUTLS_CLIENT);
}
