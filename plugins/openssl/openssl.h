/* OpenSSL's part of the BPF program: conditions of its probes. */

#define OPENSSL_CTRL_SET_TLSEXT_HOSTNAME 55

/* SSL_ctrl(ssl, cmd, larg, parg): only the call behind SSL_set_tlsext_host_name carries a server name. */
static __always_inline bool openssl_sets_server_name(struct pt_regs *ctx) {
    return (int)PT_REGS_PARM2(ctx) == OPENSSL_CTRL_SET_TLSEXT_HOSTNAME && PT_REGS_PARM3(ctx) == 0 &&
           PT_REGS_PARM4(ctx) != 0;
}
