"""What follows from what a kernel and a user can do."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import pytest

from tlstap.errors import KernelError, PrivilegeError
from tlstap.tracing import kernel
from tlstap.tracing.kernel import SOCKET_FIELDS, TASK_FIELDS, KernelFacts, Sockets


def facts(**changes: Any) -> KernelFacts:
    """A kernel with everything."""
    given: dict[str, Any] = {
        "release": "6.18.1-custom",
        "machine": "x86_64",
        "uprobe_multi": True,
        "kprobes": True,
        "offsets": {"SOCK_FAMILY": 16, "TASK_MM": 2000},
        "no_btf": None,
    }
    return KernelFacts(**given | changes)


@pytest.mark.parametrize(
    ("changes", "means"),
    [
        ({}, ("TRACEPOINT", "KPROBE", "SYSCALL", "NONE")),
        ({"kprobes": False}, ("TRACEPOINT", "SYSCALL", "NONE")),
        ({"release": "6.2.16"}, ("KPROBE", "SYSCALL", "NONE")),
        ({"release": "6.3.0-rc1"}, ("TRACEPOINT", "KPROBE", "SYSCALL", "NONE")),
        ({"release": "5.10.0-28-amd64", "kprobes": False}, ("SYSCALL", "NONE")),
        ({"release": "10.0"}, ("TRACEPOINT", "KPROBE", "SYSCALL", "NONE")),
        ({"offsets": {}, "no_btf": "no"}, ("SYSCALL", "NONE")),
    ],
)
def test_means_of_learning_addresses(changes: dict[str, Any], means: tuple[str, ...]) -> None:
    assert facts(**changes).socket_means() == tuple(Sockets[name] for name in means)


@pytest.mark.parametrize(("machine", "argument1"), [("x86_64", 112), ("aarch64", 0)])
def test_offsets_become_macros(machine: str, argument1: int) -> None:
    assert facts(machine=machine).defines() == {
        "OFFSET_SOCK_FAMILY": 16,
        "OFFSET_TASK_MM": 2000,
        "OFFSET_REGS_ARGUMENT1": argument1,
    }


def test_an_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "release", lambda: "5.7.19-generic")
    with pytest.raises(KernelError, match=r"5\.7\.19-generic; tlstap needs 5\.8 or later"):
        kernel.kernel_facts()


def test_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(KernelError, match="x86_64 and aarch64; this machine is riscv64"):
        kernel.kernel_facts()


def test_a_kernel_without_type_information(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(names: object) -> dict[str, int]:
        raise KernelError("no BTF here")

    monkeypatch.setattr(kernel, "field_offsets", none)
    monkeypatch.setattr(platform, "release", lambda: "5.8.0")
    found = kernel.kernel_facts()
    assert (found.offsets, found.no_btf, found.version) == ({}, "no BTF here", (5, 8))


def test_every_macro_of_the_program_is_known() -> None:
    """What the program asks for as OFFSET_... is what the kernel's types are asked for, and the other way."""
    folder = Path(kernel.__file__).parents[1] / "bpf"
    text = "".join(path.read_text() for path in folder.glob("*.h"))
    used = {word for word in text.replace(")", " ").replace(",", " ").split() if word.startswith("OFFSET_")}
    known = {f"OFFSET_{name}" for name in (*SOCKET_FIELDS, *TASK_FIELDS)} | {"OFFSET_REGS_ARGUMENT1"}
    assert used == known


SYS_ADMIN, PERFMON, BPF = 1 << 21, 1 << 38, 1 << 39


@pytest.mark.parametrize(
    ("user", "capabilities", "words"),
    [
        (0, SYS_ADMIN, None),
        (0, PERFMON | BPF, None),
        (0, PERFMON, "root lacks CAP_SYS_ADMIN"),
        (0, 0, "root lacks CAP_SYS_ADMIN"),
        (1000, SYS_ADMIN | PERFMON | BPF, "this user may not trace"),
        (1000, 0, "this user may not trace"),
    ],
)
def test_privilege(monkeypatch: pytest.MonkeyPatch, user: int, capabilities: int, words: str | None) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(kernel, "effective_capabilities", lambda: capabilities)
    if words is None:
        kernel.require_privilege()
        return
    with pytest.raises(PrivilegeError, match=f"{words}.*sudo"):
        kernel.require_privilege()


def test_capabilities_of_this_process() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    (shown,) = [line.split()[1] for line in lines if line.startswith("CapEff")]
    assert f"{kernel.effective_capabilities():016x}" == shown
