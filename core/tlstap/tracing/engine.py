"""The BPF program in the kernel: loaded, attached. Only this and compiler.py know BCC."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from tlstap.errors import CompileError, KernelError
from tlstap.tracing import layout
from tlstap.tracing.compiler import compile_program, survive
from tlstap.tracing.descriptors import captured_stderr, close_in_background
from tlstap.tracing.filters import Filters
from tlstap.tracing.kernel import Attachment, KernelFacts, Sockets
from tlstap.tracing.layout import Counter
from tlstap.tracing.link import BPF_TRACE_UPROBE_MULTI, attach_uprobes
from tlstap.tracing.plan import ProbeTable, pack
from tlstap.tracing.program import ENTER, EXIT, JUMPS, PARTS, entry_name, program_text

MAX_THREADS = 16384
MAX_CONNECTIONS = 65536
MAX_PACKETS = 4096
MAX_HELD = 1024
"""Connections whose bytes can be held at once, 16 KiB each."""

MAX_CLOSERS = 16
_WORDS_OF_THE_TOOL = 1500
"""How many characters of a compiler's or verifier's message are passed on."""

_SOCKET_HOOKS: Mapping[Sockets, tuple[tuple[str, str], ...]] = {
    Sockets.TRACEPOINT: (("on_socket_send", "sock_send_length"), ("on_socket_receive", "sock_recv_length")),
    Sockets.KPROBE: (
        ("on_tcp_sendmsg", "tcp_sendmsg"),
        ("on_tcp_recvmsg", "tcp_recvmsg"),
        ("on_tcp_sendmsg_return", "tcp_sendmsg"),
        ("on_tcp_recvmsg_return", "tcp_recvmsg"),
    ),
    Sockets.SYSCALL: (("on_syscall", "sys_enter"),),
    Sockets.NONE: (),
}


@dataclass(frozen=True, slots=True)
class Site:
    """Where a probe goes in a file: `address` is the ELF virtual address, `offset` the file offset of it.

    `on_trial`: its calls come with evidence. `return_addresses`: the only calls that count return to one of
    these (ELF virtual addresses), if the probe is declared so.
    """

    probe: int
    address: int
    offset: int
    needs_return: bool
    on_trial: bool = False
    return_addresses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """What BPF counted for a connection: bytes read and written."""

    handle: int
    tgid: int
    generation: int
    read_bytes: int
    written_bytes: int


class Engine:
    """One compiled program, and what it is attached to.

    :param ring_bytes: size of the ring, a power of two and at least a page.
    :param attachment: how to attach uprobes; by default what the kernel has.
    :param sockets: the means to note sockets, tried in this order; by default what the kernel has.
    :param careful: somebody else's C is among the snippets: it may even break the compiler.
    :raises CompileError: a snippet does not compile, or the verifier rejects the program.
    :raises KernelError: the kernel refuses something.
    """

    def __init__(
        self,
        table: ProbeTable,
        snippets: Mapping[str, str],
        facts: KernelFacts,
        filters: Filters,
        *,
        ring_bytes: int,
        attachment: Attachment | None = None,
        sockets: Sequence[Sockets] | None = None,
        careful: bool = False,
    ) -> None:
        with contextlib.suppress(ValueError, OSError):  # kernels from 5.11 on don't ask for it
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if attachment is Attachment.MULTI and not facts.uprobe_multi:
            raise KernelError(
                "this kernel has no uprobe_multi links (Linux 6.6 has); leave out --attach multi"
            )
        self.attachment = attachment or (Attachment.MULTI if facts.uprobe_multi else Attachment.SINGLE)
        self.ring_bytes = ring_bytes
        self._table = table
        self._careful = careful
        self._links: dict[int, list[int]] = {}
        self._events: dict[int, list[int]] = {}
        self._last_event = 0
        self._programs: dict[str, Any] = {}
        self._build(snippets, facts, filters, sockets or facts.socket_means())
        try:
            self._fill_maps(filters)
            self._attach_process_hooks(filters)
            self._load_probe_programs()
        except BaseException:
            self._bpf.cleanup()
            raise

    def _build(
        self, snippets: Mapping[str, str], facts: KernelFacts, filters: Filters, means: Sequence[Sockets]
    ) -> None:
        """Compile, with the first means of noting sockets that the kernel accepts."""
        cookies = self.attachment is Attachment.MULTI
        text = program_text(self._table, snippets, cookies=cookies)
        refused = []
        for sockets in means:
            macros = facts.defines() | self._macros(filters, sockets)
            flags = [f"-D{name}={value}" for name, value in macros.items()]
            if self._careful:
                survive(text, flags)
            self._bpf = compile_program(text, flags)
            try:
                self._attach_sockets(sockets)
            except (KernelError, CompileError) as error:
                self._bpf.cleanup()
                self._programs.clear()
                refused.append(f"{sockets.value} ({' '.join(str(error).split())})")
                continue
            self.sockets = sockets
            return
        raise KernelError(f"addresses of connections can't be had by {'; '.join(refused)}")

    def _macros(self, filters: Filters, sockets: Sockets) -> dict[str, int]:
        macros = {
            "RING_PAGES": self.ring_bytes // os.sysconf("SC_PAGE_SIZE"),
            "WAKE_BYTES": self.ring_bytes // 8,
            "MAX_PROBES": max(1, len(self._table)),
            "MAX_THREADS": MAX_THREADS,
            "MAX_CONNECTIONS": MAX_CONNECTIONS,
            "MAX_PACKETS": MAX_PACKETS,
            "MAX_HELD": MAX_HELD if self._table.holds else 1,
            "OWN_TGID": os.getpid(),
        }
        if sockets is not Sockets.NONE:
            macros[f"SOCKETS_{sockets.name}"] = 1
        for name, wanted in (
            ("FILTER_PIDS", filters.pids or filters.follow_children),
            ("FILTER_UIDS", filters.uids),
            ("FILTER_COMMS", filters.comms),
            ("FILTER_EXES", filters.exes),
            ("FOLLOW_CHILDREN", filters.follow_children),
        ):
            if wanted:
                macros[name] = 1
        return macros

    def _load_probe_programs(self) -> None:
        """Before anything is attached, so that a program that the verifier rejects is told at once."""
        attach_type = BPF_TRACE_UPROBE_MULTI if self.attachment is Attachment.MULTI else -1
        for function in (ENTER, EXIT, PARTS):
            self._load(function, self._bpf.KPROBE, attach_type)
        for function, index in JUMPS.items():
            self._write("programs", _u32(index), _u32(self._programs[function].fd))

    def _attach_sockets(self, sockets: Sockets) -> None:
        for function, hook in _SOCKET_HOOKS[sockets]:
            if sockets is Sockets.KPROBE:
                self._load(function, self._bpf.KPROBE)
                attach = (
                    self._bpf.attach_kretprobe if function.endswith("_return") else self._bpf.attach_kprobe
                )
                _words(f"kprobe {hook}", partial(attach, event=hook, fn_name=function))
            else:
                self._attach_raw(function, hook)

    def _attach_process_hooks(self, filters: Filters) -> None:
        self._attach_raw("on_process_exec", "sched_process_exec")
        self._attach_raw("on_process_exit", "sched_process_exit")
        if filters.follow_children:
            self._attach_raw("on_process_fork", "sched_process_fork")

    def _attach_raw(self, function: str, tracepoint: str) -> None:
        self._load(function, self._bpf.RAW_TRACEPOINT)
        attach = partial(self._bpf.attach_raw_tracepoint, tp=tracepoint, fn_name=function)
        _words(f"raw tracepoint {tracepoint}", attach)

    def _load(self, function: str, kind: int, attach_type: int = -1) -> Any:
        """The loaded program of that name."""
        if function not in self._programs:
            with captured_stderr() as words:
                try:
                    self._programs[function] = self._bpf.load_func(function, kind, None, attach_type)
                except Exception as error:
                    said = words()
                    raise CompileError(
                        f"the kernel's verifier rejects {function}: {error}\n{_last(said)}", said, function
                    ) from None
        return self._programs[function]

    def _fill_maps(self, filters: Filters) -> None:
        tables: tuple[tuple[str, Sequence[bytes]], ...] = (
            ("filter_pids", [_u32(pid) for pid in filters.pids]),
            ("filter_uids", [_u32(uid) for uid in filters.uids]),
            ("filter_comms", filters.comm_keys()),
            ("filter_exes", [layout.FILE_ID.pack(*key) for key in filters.exe_keys()]),
        )
        for name, keys in tables:
            for key in keys:
                self._write(name, key, b"\1")
        for index, probe in enumerate(self._table.probes):
            self._write("probes", _u32(index), pack(probe))

    # ---- maps ----

    def _map(self, name: str) -> Any:
        return self._bpf[name]

    def _write(self, name: str, key: bytes, value: bytes) -> None:
        table = self._map(name)
        table[table.Key.from_buffer_copy(key)] = table.Leaf.from_buffer_copy(value)

    def follow(self, pid: int) -> None:
        """Trace this process too (with filters on pids)."""
        self._write("filter_pids", _u32(pid), b"\1")

    def reader_sleeps(self) -> None:
        """Ask BPF to wake the reader with the next record."""
        self._write("reader_sleeps", _u32(0), _u32(1))

    @property
    def ring_fd(self) -> int:
        return int(self._map("ring").map_fd)

    def counters(self) -> dict[Counter, int]:
        """The counters, summed over the processors."""
        table = self._map("counters")
        return {counter: int(table.sum(int(counter)).value) for counter in Counter}

    def totals(self, handle: int, tgid: int) -> Totals | None:
        """What BPF counted for the connection that a handle has now."""
        table = self._map("connections")
        key = table.Key.from_buffer_copy(layout.CONNECTION_KEY.pack(handle, tgid, 0))
        try:
            value = bytes(table[key])
        except KeyError:
            return None
        generation, read_bytes, written_bytes, *_ = layout.CONNECTION.unpack(value)
        return Totals(handle, tgid, generation, read_bytes, written_bytes)

    def forget(self, handle: int, tgid: int) -> None:
        """Remove a connection that ended with its process."""
        table = self._map("connections")
        with contextlib.suppress(KeyError):
            del table[table.Key.from_buffer_copy(layout.CONNECTION_KEY.pack(handle, tgid, 0))]

    def take_ended(self) -> Iterator[Totals]:
        """The connections that ended while the ring was full, each once."""
        table = self._map("ended")
        for key, value in list(table.items()):
            handle, tgid, _, _ = layout.ENDED_KEY.unpack(bytes(key))
            generation, read_bytes, written_bytes, *_ = layout.CONNECTION.unpack(bytes(value))
            with contextlib.suppress(KeyError):
                del table[key]
            yield Totals(handle, tgid, generation, read_bytes, written_bytes)

    # ---- uprobes ----

    @property
    def numbers_images(self) -> bool:
        """Whether records tell the number of the image; without cookies it is always 0."""
        return self.attachment is Attachment.MULTI

    def attach(self, fd: int, image: int, sites: Sequence[Site]) -> None:
        """Put the probes of a file in place, for all processes, present and future.

        :param fd: the file, open; exactly this inode is probed.
        :param image: the number that records of these probes carry, if `numbers_images`.
        """
        path = f"/proc/self/fd/{fd}"
        for site in sites:
            self._prepare(site, image if self.numbers_images else 0)
        if self.numbers_images:
            self._attach_multi(path, image, sites)
        else:
            self._attach_singly(path, image, sites)

    def _prepare(self, site: Site, image: int) -> None:
        """What the programs look up about a site."""
        if site.on_trial:
            self._write("trials", _trial_key(image, site.probe), b"\1")
        for address in site.return_addresses:
            distance = (address - site.address) % (1 << 64)
            self._write("call_sites", layout.CALL_SITE.pack(distance, site.probe, image), b"\1")

    def _attach_multi(self, path: str, image: int, sites: Sequence[Site]) -> None:
        # Returns first: a call that is entered is then always seen to return.
        returning = [site for site in sites if site.needs_return]
        links = self._links.setdefault(image, [])
        for function, places, on_return in ((EXIT, returning, True), (ENTER, list(sites), False)):
            if places:
                program = self._programs[function]
                offsets = [site.offset for site in places]
                cookies = [site.on_trial << 32 | image << 16 | site.probe for site in places]
                links.append(attach_uprobes(program.fd, path, offsets, cookies, on_return=on_return))

    def _attach_singly(self, path: str, image: int, sites: Sequence[Site]) -> None:
        events = self._events.setdefault(image, [])
        for site in sites:
            entry = self._load(entry_name(site.probe), self._bpf.KPROBE)
            if site.needs_return:
                events.append(self._attach_event(self._programs[EXIT].fd, path, site.offset, on_return=True))
            events.append(self._attach_event(entry.fd, path, site.offset, on_return=False))

    def _attach_event(self, program_fd: int, path: str, offset: int, *, on_return: bool) -> int:
        """BCC's own attach_uprobe leaves out the last argument of the C function, so that the kernel takes
        whatever is on the stack for the offset of a counter in the probed program, to be incremented."""
        library = self._bpf.lib
        self._last_event += 1
        name = f"tlstap_{os.getpid()}_{self._last_event}".encode()
        reference_counter = 0
        any_process = -1
        with captured_stderr() as words:
            event: int = library.bpf_attach_uprobe(
                program_fd, int(on_return), name, os.fsencode(path), offset, any_process, reference_counter
            )
        if event < 0:
            raise KernelError(f"the kernel refused a probe on {path}: {_last(words())}")
        return event

    def detach_image(self, image: int) -> None:
        """Take the probes of one attached file away."""
        for link in self._links.pop(image, []):
            os.close(link)
        close_in_background(self._events.pop(image, []))

    def detach(self) -> None:
        """Take the uprobes away; what is in the ring and the maps can still be read.

        Where each probe is an event of its own, the kernel takes about 0.1 s to remove one: they are
        silenced at once (by blank declarations; a disabled event still runs its program), and a process of
        its own waits for their removal, so that the caller need not.
        """
        links = [link for image in self._links.values() for link in image]
        if links:  # each waits 40 ms for the kernel, so all together
            with ThreadPoolExecutor(MAX_CLOSERS) as pool:
                list(pool.map(os.close, links))
        self._links.clear()
        events = [event for image in self._events.values() for event in image]
        if events:
            for index in range(len(self._table)):
                self._write("probes", _u32(index), bytes(layout.PROBE.size))
            close_in_background(events)
        self._events.clear()

    # ---- probes on trial ----

    @property
    def counts_traffic(self) -> bool:
        """Whether what processes move on their sockets is known, so that there can be evidence."""
        return self.sockets in (Sockets.TRACEPOINT, Sockets.KPROBE)

    def end_trial(self, image: int, probe: int) -> None:
        """The calls of a probe need no longer come with evidence."""
        table = self._map("trials")
        with contextlib.suppress(KeyError):
            del table[table.Key.from_buffer_copy(_trial_key(image, probe))]

    def trials(self) -> set[tuple[int, int]]:
        """(image, probe) of the probes whose calls come with evidence."""
        keys = (int.from_bytes(bytes(key), "little") for key in self._map("trials"))
        return {(key >> 16, key & 0xFFFF) for key in keys}

    def traffic(self, tgid: int) -> tuple[int, int]:
        """Bytes that a process has received and sent since it first called a function on trial."""
        table = self._map("traffic")
        try:
            received, sent = layout.TRAFFIC.unpack(bytes(table[table.Key.from_buffer_copy(_u32(tgid))]))
        except KeyError:
            return 0, 0
        return received, sent

    def close(self) -> None:
        """Detach everything and give the maps back."""
        self.detach()
        self._bpf.cleanup()


def _words(what: str, action: Callable[[], object]) -> None:
    """Run an action of BCC, which speaks on stderr and raises plain exceptions."""
    with captured_stderr() as words:
        try:
            action()
        except Exception as error:
            reason = " ".join(f"{error} {words()}".split())[:_WORDS_OF_THE_TOOL]
            raise KernelError(f"{what}: {reason}") from None


def _last(words: str) -> str:
    return words.strip()[-_WORDS_OF_THE_TOOL:]


def _trial_key(image: int, probe: int) -> bytes:
    return _u32(image << 16 | probe)


def _u32(value: int) -> bytes:
    return bytes(ctypes.c_uint32(value))
