"""The program in the kernel: how it fails, how it is attached, what it leaves behind."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.bpf import own_library
from tests.bpf.own_library import CALLERS_MEMORY, MANY_FUNCTIONS, NESTING, OWN, Program, payload
from tests.bpf.own_traces import rest, the_closed, the_data, the_lost, tracing
from tests.support.wait import wait_until

from tlstap.errors import CompileError, KernelError, ProcessGoneError, TlstapError, UsageError
from tlstap.library import Library
from tlstap.records import Handshake, Opened
from tlstap.registry import Registry
from tlstap.tracing import engine as engine_module
from tlstap.tracing.engine import Engine
from tlstap.tracing.filters import Filters
from tlstap.tracing.kernel import Attachment, Sockets, kernel_facts
from tlstap.tracing.options import Options
from tlstap.tracing.plan import ProbeTable
from tlstap.tracing.session import Session

BOTH = pytest.mark.parametrize("attachment", list(Attachment), ids=lambda one: one.name.lower())
PAGE = 4096


def kernel_objects() -> Counter[str]:
    """The descriptors of kernel objects that this process holds."""
    found: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink() and (target := str(entry.readlink())).startswith("anon_inode:"):
            found[target] += 1
    return found


# ---- what does not compile, what is refused ----


def engine(library: Library, snippet: str) -> Engine:
    return Engine(
        ProbeTable([library]), {"mine/mine.h": snippet}, kernel_facts(), Filters(), ring_bytes=16 * PAGE
    )


def asking(condition: str) -> Library:
    """The library with a condition on its first probe."""
    first, *others = OWN.probes
    probes = (first.model_copy(update={"condition": condition}), *others)
    return OWN.model_copy(update={"probes": probes, "snippet": "mine.h"})


def test_a_snippet_that_does_not_compile_is_named_with_its_line() -> None:
    snippet = (
        "/* a comment */\n\n"
        "static __always_inline bool is_mine(struct pt_regs *ctx) {\n"
        "    return no_such_function(ctx);\n"
        "}\n"
    )
    before = kernel_objects()
    with pytest.raises(CompileError) as caught:
        engine(asking("is_mine"), snippet)
    assert "mine/mine.h:4:" in str(caught.value)
    assert "no_such_function" in str(caught.value)
    assert kernel_objects() == before


def test_a_condition_that_no_snippet_defines() -> None:
    with pytest.raises(CompileError, match="is_missing"):
        engine(asking("is_missing"), "/* nothing */\n")


def test_what_the_verifier_rejects_comes_with_its_words() -> None:
    snippet = (
        "static __always_inline bool is_mine(struct pt_regs *ctx) {\n"
        '    for (;;) asm volatile("");\n'
        "    return true;\n"
        "}\n"
    )
    before = kernel_objects()
    with pytest.raises(CompileError) as caught:
        engine(asking("is_mine"), snippet)
    text = str(caught.value)
    assert text.startswith("the kernel's verifier rejects on_enter: ")
    assert "loop" in text or "back-edge" in text
    assert kernel_objects() == before, "nothing stays attached"


def test_the_plugins_own_snippet_compiles_in_every_mode() -> None:
    registry = Registry.load(third_party=())
    libraries = list(registry.libraries.values())
    snippets = dict(found for library in libraries if (found := registry.snippet(library)))
    facts = kernel_facts()
    before = kernel_objects()
    for sockets in facts.socket_means():
        made = Engine(
            ProbeTable(libraries), snippets, facts, Filters(), ring_bytes=16 * PAGE, sockets=[sockets]
        )
        assert made.sockets is sockets
        made.close()
    assert kernel_objects() == before


def test_means_that_fail_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracepoint that no kernel has stands for means that this one lacks."""
    facts = kernel_facts()
    hooks = {Sockets.SYSCALL: (("on_syscall", "no_such_tracepoint"),), Sockets.NONE: ()}
    monkeypatch.setattr(engine_module, "_SOCKET_HOOKS", hooks)
    before = kernel_objects()
    with pytest.raises(KernelError, match=r"can't be had by file descriptors.*no_such_tracepoint"):
        Engine(ProbeTable([OWN]), {}, facts, Filters(), ring_bytes=16 * PAGE, sockets=[Sockets.SYSCALL])
    assert kernel_objects() == before
    means = [Sockets.SYSCALL, Sockets.NONE]
    made = Engine(ProbeTable([OWN]), {}, facts, Filters(), ring_bytes=16 * PAGE, sockets=means)
    assert made.sockets is Sockets.NONE
    made.close()
    assert kernel_objects() == before


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (Options(filters=Filters(pids=frozenset([4_194_305]))), ProcessGoneError, "no process 4194305"),
        (Options(buffer_bytes=3 * PAGE), UsageError, "a buffer of 12288 bytes"),
        (Options(buffer_bytes=PAGE // 2), UsageError, "power of two"),
        (Options(buffer_bytes=2 << 30), UsageError, "power of two"),
        (Options(filters=Filters(libraries=frozenset(["nonsense"]))), UsageError, "known are: .*openssl"),
        (Options(filters=Filters(exes=frozenset(["/no/such/file"]))), UsageError, "--exe /no/such/file"),
        (Options(command=["no-such-command"]), TlstapError, "no-such-command: no such command"),
    ],
)
def test_a_session_that_cannot_begin_leaves_nothing(
    options: Options, error: type[TlstapError], words: str
) -> None:
    before = kernel_objects()
    threads = threading.active_count()
    with pytest.raises(error, match=words), Session(Registry.load(third_party=()), options):
        pass
    assert kernel_objects() == before
    assert threading.active_count() == threads


# ---- attached ----


@BOTH
def test_what_a_call_moved(program: Program, attachment: Attachment) -> None:
    with tracing(program, attachment=attachment) as session:
        assert session.engine.attachment is attachment
        program.do("write", 1, 5, 2)
        program.do("read", 1, 40_000, 1)
        program.do("write", 2, 300, 1)
        program.do("free", 1)
        records = rest(session)
    found = [(one.connection.id, one.direction, one.offset, one.length) for one in the_data(records)]
    assert found == [
        (1, "write", 0, 5),
        (1, "write", 5, 5),
        (1, "read", 0, 16384),
        (1, "read", 16384, 16384),
        (1, "read", 32768, 40_000 - 32768),
        (2, "write", 0, 300),
    ]
    written, again, *read, other = [one.payload for one in the_data(records)]
    assert (written, again) == (payload(5), payload(5))
    assert b"".join(read) == payload(40_000)
    assert other == payload(300)
    assert {one.function for one in the_data(records)} == {"own_write", "own_read"}
    assert {one.process.pid for one in the_data(records)} == {program.pid}
    assert [(one.connection.id, one.read_bytes, one.written_bytes) for one in the_closed(records)] == [
        (1, 40_000, 10),
        (2, 0, 300),
    ]
    assert the_lost(records) == []
    assert (session.summary.lost_records, session.summary.lost_bytes) == (0, 0)
    libraries = {one.connection.library for one in the_data(records)}
    assert {(one.name, one.path) for one in libraries} == {
        ("own", str(Path(f"/proc/{program.pid}/exe").readlink()))
    }


@BOTH
def test_the_probed_program_is_as_it_was_before(program: Program, attachment: Attachment) -> None:
    """Its code has the breakpoint while it is traced, and no longer."""
    wait_until(lambda: not program.probed(), "earlier tests' probes of this file to go")
    objects = kernel_objects()
    with tracing(program, attachment=attachment):
        assert program.probed()
        assert kernel_objects() != objects
    assert kernel_objects() == objects
    wait_until(lambda: not program.probed(), "the breakpoint to go")
    program.do("write", 1, 5, 1)


@BOTH
def test_detached_nothing_more_is_captured(program: Program, attachment: Attachment) -> None:
    with tracing(program, attachment=attachment) as session:
        program.do("write", 1, 5, 1)
        session.engine.detach()
        program.do("write", 1, 7, 1)
        assert [one.length for one in the_data(rest(session))] == [5]


@BOTH
def test_many_probes_end_quickly(program: Program, attachment: Attachment) -> None:
    """A promise of half a second; the rest is for a busy machine. BCC's own way takes 0.1 s a probe."""
    with tracing(program, own_library.registry(MANY_FUNCTIONS), attachment=attachment) as session:
        (image,) = session.coverage.images
        assert len(image.functions) == own_library.MANY + 3
        program.do("write", 1, 5, 1)
        began = time.monotonic()
        records = rest(session)
    assert time.monotonic() - began < 2
    assert len(the_data(records)) == 1


def test_two_traces_at_once(program: Program) -> None:
    with tracing(program) as one, tracing(program, attachment=Attachment.SINGLE) as other:
        program.do("write", 1, 5, 1)
        lengths = [[data.length for data in the_data(rest(session))] for session in (one, other)]
    assert lengths == [[5], [5]]


# ---- handles ----


@BOTH
def test_a_handle_that_is_memory_of_the_callers(program: Program, attachment: Attachment) -> None:
    """It is known from the start when it is made; made again, it is another connection if it was used."""
    with tracing(program, own_library.registry(CALLERS_MEMORY), attachment=attachment) as session:
        for word in ("init", "init", "shake", "init"):
            program.do(word, 32)
        for word in ("write", "read"):
            program.do(word, 32, 100, 1)
        program.do("init", 32)
        program.do("write", 32, 50, 1)
        program.do("free", 32)
        records = rest(session)
    opened = [record for record in records if isinstance(record, Opened)]
    failed, first, second = (record.connection for record in opened)
    assert [record.from_start for record in opened] == [True, True, True]
    # The role was told once, and a reset leaves it.
    assert [record.connection.role for record in opened] == ["server", "server", "server"]
    assert [(one.connection, one.ok) for one in records if isinstance(one, Handshake)] == [(failed, False)]
    moved = [(one.connection, one.direction, len(one.payload)) for one in the_data(records)]
    assert moved == [(first, "write", 100), (first, "read", 100), (second, "write", 50)]
    ends = [(one.connection, one.read_bytes, one.written_bytes) for one in the_closed(records)]
    assert ends == [(failed, 0, 0), (first, 100, 100), (second, 0, 50)]
    assert the_lost(records) == []


# ---- calls within calls ----


@pytest.mark.parametrize("attachment", [None, Attachment.SINGLE])
def test_a_call_within_a_call(program: Program, attachment: Attachment | None) -> None:
    """On the same connection in the same direction it is a part of the outer one, else a call of its own."""
    with tracing(program, own_library.registry(NESTING), attachment=attachment) as session:
        program.do("nest", 10, 5, 2)
        found = the_data(rest(session))
    streams = [(data.direction, data.function, data.offset, data.length) for data in found]
    once = [("write", "own_write"), ("read", "own_read"), ("write", "own_nest")]
    assert streams == [(*call, offset, 5) for offset in (0, 5) for call in once]
    other, read, outer = (found[number].connection.id for number in range(3))
    assert read == outer != other
    assert {data.payload for data in found} == {payload(5)}


def test_a_call_that_never_returns_hides_no_other(program: Program) -> None:
    with tracing(program, own_library.registry(NESTING)) as session:
        program.do("jump", 10, 7, 3)
        program.do("write", 10, 5, 1)
        program.do("jump", 10, 7, 1)
        program.do("nest", 10, 5, 1)
        found = the_data(rest(session))
    calls = [(data.function, data.length) for data in found]
    assert calls == [("own_write", 5), ("own_write", 5), ("own_read", 5), ("own_nest", 5)]
