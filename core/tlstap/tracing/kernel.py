"""What this kernel and this user can do, and which means of tracing follow from it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tlstap.errors import KernelError, PrivilegeError
from tlstap.tracing.btf import field_offsets
from tlstap.tracing.link import has_uprobe_multi

OLDEST = (5, 8)
"""The first kernel with a BPF ring buffer."""

MACHINES = ("x86_64", "aarch64")

_CAP_SYS_ADMIN = 21
_CAP_PERFMON = 38
_CAP_BPF = 39

SOCKET_FIELDS: Mapping[str, str] = {
    "SOCK_FAMILY": "sock.__sk_common.skc_family",
    "SOCK_LOCAL_PORT": "sock.__sk_common.skc_num",
    "SOCK_REMOTE_PORT": "sock.__sk_common.skc_dport",
    "SOCK_LOCAL": "sock.__sk_common.skc_rcv_saddr",
    "SOCK_REMOTE": "sock.__sk_common.skc_daddr",
    "SOCK_LOCAL6": "sock.__sk_common.skc_v6_rcv_saddr",
    "SOCK_REMOTE6": "sock.__sk_common.skc_v6_daddr",
}
TASK_FIELDS: Mapping[str, str] = {
    "TASK_TGID": "task_struct.tgid",
    "TASK_GROUP_LEADER": "task_struct.group_leader",
    "TASK_COMM": "task_struct.comm",
    "TASK_MM": "task_struct.mm",
    "TASK_SIGNAL": "task_struct.signal",
    "SIGNAL_LIVE": "signal_struct.live",
    "MM_EXE_FILE": "mm_struct.exe_file",
    "FILE_INODE": "file.f_inode",
    "INODE_NUMBER": "inode.i_ino",
    "INODE_SUPER_BLOCK": "inode.i_sb",
    "SUPER_BLOCK_DEVICE": "super_block.s_dev",
    "BINARY_PATH": "linux_binprm.interp",
}
"""Kernel struct fields by the name that the BPF program knows them under (OFFSET_...)."""

_ARGUMENT1 = {"x86_64": 112, "aarch64": 0}
"""Offset of the first system call argument in struct pt_regs: rdi, x0."""


class Sockets(Enum):
    """How the socket of a TLS call is noted, best first."""

    TRACEPOINT = "sock_send_length and sock_recv_length tracepoints"
    KPROBE = "kprobes on tcp_sendmsg and tcp_recvmsg"
    SYSCALL = "file descriptors of system calls"
    NONE = "not at all"


class Attachment(Enum):
    """How uprobes are attached."""

    MULTI = "uprobe_multi links"
    SINGLE = "a perf event for each probe"


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """What was found out. `offsets` is empty where the kernel has no BTF, with the reason in `no_btf`."""

    release: str
    machine: str
    uprobe_multi: bool
    kprobes: bool
    offsets: Mapping[str, int]
    no_btf: str | None

    @property
    def version(self) -> tuple[int, int]:
        return _version(self.release)

    def socket_means(self) -> tuple[Sockets, ...]:
        """The means that this kernel should have, best first. Whether they work is seen when attaching."""
        means = []
        if self.offsets and self.version >= (6, 3):
            means.append(Sockets.TRACEPOINT)
        if self.offsets and self.kprobes:
            means.append(Sockets.KPROBE)
        return (*means, Sockets.SYSCALL, Sockets.NONE)

    def defines(self) -> dict[str, int]:
        """The offsets as macros for the program."""
        macros = {f"OFFSET_{name}": offset for name, offset in self.offsets.items()}
        macros["OFFSET_REGS_ARGUMENT1"] = _ARGUMENT1[self.machine]
        return macros


def kernel_facts() -> KernelFacts:
    """Look at the running kernel.

    :raises KernelError: it is too old, or of a machine that tlstap does not know.
    """
    release, machine = platform.release(), platform.machine()
    if machine not in MACHINES:
        raise KernelError(f"tlstap runs on {' and '.join(MACHINES)}; this machine is {machine}")
    if _version(release) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise KernelError(f"this kernel is {release}; tlstap needs {oldest} or later (BPF ring buffer)")
    offsets: Mapping[str, int] = {}
    no_btf = None
    try:
        offsets = field_offsets({**SOCKET_FIELDS, **TASK_FIELDS})
    except KernelError as error:
        no_btf = str(error)
    return KernelFacts(
        release=release,
        machine=machine,
        uprobe_multi=has_uprobe_multi(),
        kprobes=Path("/sys/bus/event_source/devices/kprobe").exists(),
        offsets=offsets,
        no_btf=no_btf,
    )


def require_privilege() -> None:
    """:raises PrivilegeError: the user may not load BPF programs or read other processes."""
    capabilities = effective_capabilities()
    may_trace = capabilities >> _CAP_BPF & 1 and capabilities >> _CAP_PERFMON & 1
    if os.geteuid() != 0 or not (capabilities >> _CAP_SYS_ADMIN & 1 or may_trace):
        who = "this user may not trace" if os.geteuid() else "root lacks CAP_SYS_ADMIN here (a container?)"
        raise PrivilegeError(f"{who}; run tlstap as root with all capabilities, for example with sudo")


def effective_capabilities() -> int:
    """The process's effective capabilities, a bit for each."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return int(found[1], 16) if found else 0


def _version(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
