#ifndef TLSTAP_STUB_PTRACE_H
#define TLSTAP_STUB_PTRACE_H
#include <linux/types.h>
#if defined(__x86_64__)
struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
    unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__aarch64__)
struct user_pt_regs {
    __u64 regs[31];
    __u64 sp, pc, pstate;
};
struct pt_regs {
    __u64 regs[31];
    __u64 sp, pc, pstate;
};
#else
#error "tlstap knows the registers of x86-64 and aarch64 only"
#endif
#endif
