"""Attaching many uprobes at once: a uprobe_multi link (Linux 6.6), by the bpf(2) system call itself.

BCC 0.26 does not know these links. A link lives as long as its descriptor, so nothing is left behind
however the process ends.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

from tlstap.errors import KernelError

BPF_PROG_LOAD = 5
BPF_LINK_CREATE = 28
BPF_PROG_TYPE_KPROBE = 2
BPF_TRACE_UPROBE_MULTI = 48
BPF_F_UPROBE_MULTI_RETURN = 1
_SYSCALL_BPF = {"x86_64": 321, "aarch64": 280}

_libc = ctypes.CDLL(None, use_errno=True)


class _LinkCreate(ctypes.Structure):
    """union bpf_attr, as far as BPF_LINK_CREATE with uprobe_multi uses it (include/uapi/linux/bpf.h)."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("link_flags", ctypes.c_uint32),
        ("path", ctypes.c_uint64),
        ("offsets", ctypes.c_uint64),
        ("ref_ctr_offsets", ctypes.c_uint64),
        ("cookies", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class _ProgLoad(ctypes.Structure):
    """union bpf_attr, as far as BPF_PROG_LOAD uses it here."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("instruction_count", ctypes.c_uint32),
        ("instructions", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log", ctypes.c_uint32 * 4),
        ("kernel_version", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
        ("interface", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
    )


_RETURN_ZERO = struct.pack("<QQ", 0xB7, 0x95)  # r0 = 0; exit


def has_uprobe_multi() -> bool:
    """Whether the kernel has uprobe_multi links, found by trying one on a folder.

    A kernel that knows them says EBADF, one that doesn't EINVAL.
    """
    license_text = ctypes.create_string_buffer(b"GPL")
    instructions = ctypes.create_string_buffer(_RETURN_ZERO)
    attributes = _ProgLoad(
        prog_type=BPF_PROG_TYPE_KPROBE,
        instruction_count=len(_RETURN_ZERO) // 8,
        instructions=ctypes.addressof(instructions),
        license=ctypes.addressof(license_text),
        expected_attach_type=BPF_TRACE_UPROBE_MULTI,
    )
    program = _bpf(BPF_PROG_LOAD, attributes)
    if program < 0:
        return False
    try:
        fd, code = _create_link(program, "/", (0,), (0,), on_return=False)
    finally:
        os.close(program)
    if fd >= 0:
        os.close(fd)
    return code == errno.EBADF


def attach_uprobes(
    program_fd: int, path: str, offsets: Sequence[int], cookies: Sequence[int], *, on_return: bool
) -> int:
    """Attach a program to places of a file, for all processes, present and future.

    :param path: the file; /proc/self/fd/N names exactly the file that was analysed.
    :param offsets: file offsets (not virtual addresses) of instructions.
    :param cookies: what bpf_get_attach_cookie gives the program, one for each offset.
    :return: the link's descriptor; closing it detaches.
    :raises KernelError: the kernel has no such links (older than 6.6), or refused.
    """
    fd, code = _create_link(program_fd, path, offsets, cookies, on_return=on_return)
    if fd < 0:
        raise KernelError(
            f"the kernel refused {len(offsets)} probes on {path}: {errno.errorcode.get(code, code)}, "
            f"{os.strerror(code)}"
        )
    return fd


def _create_link(
    program_fd: int, path: str, offsets: Sequence[int], cookies: Sequence[int], *, on_return: bool
) -> tuple[int, int]:
    """The link's descriptor and 0, or -1 and the error number."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    offset_array = (ctypes.c_uint64 * len(offsets))(*offsets)
    cookie_array = (ctypes.c_uint64 * len(cookies))(*cookies)
    attributes = _LinkCreate(
        prog_fd=program_fd,
        attach_type=BPF_TRACE_UPROBE_MULTI,
        path=ctypes.addressof(name),
        offsets=ctypes.addressof(offset_array),
        cookies=ctypes.addressof(cookie_array),
        count=len(offsets),
        flags=BPF_F_UPROBE_MULTI_RETURN if on_return else 0,
    )
    fd = _bpf(BPF_LINK_CREATE, attributes)
    return fd, ctypes.get_errno() if fd < 0 else 0


def _bpf(command: int, attributes: ctypes.Structure) -> int:
    number = _SYSCALL_BPF[platform.machine()]
    return int(_libc.syscall(number, command, ctypes.byref(attributes), ctypes.sizeof(attributes)))
