"""The means of older kernels, by the switches that choose them: the same bytes, as far as they can be had."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.fixtures import RunTlstap
from tests.support.programs import Programs
from tests.support.tracer import TLSTAP, Tracer
from tests.support.traffic import Traced, connections, losses

from tlstap import schema
from tlstap.tracing.kernel import kernel_facts


class Messages:
    """The program `messages`, traced with these switches."""

    def __init__(
        self, tlstap: RunTlstap, certificates: Certificates, programs: Programs, records: Path
    ) -> None:
        self._tlstap = tlstap
        self._certificates = certificates
        self._programs = programs
        self._records = records
        self.ports: dict[str, tuple[int, int]] = {}
        self.pid = 0

    def run(self, *switches: str, transport: str = "tcp") -> Tracer:
        """Two connections over which three messages go each way."""
        own = ("plain", "1.3", transport, 2, 3, 20_000)
        command = [self._programs.path("messages")]
        arguments = c_programs.arguments(self._records, self._certificates, *own)
        running = c_programs.start([*command, *arguments])
        self.pid = running.pid
        with self._tlstap("-p", running.pid, *switches) as tracer:
            running.go()
            lines = [line.split() for line in running.finish()]
        self.ports = {name: (int(local), int(remote)) for name, local, remote in lines}
        return tracer

    def check_streams(self, tracer: Tracer) -> dict[str, Traced]:
        """Exactly what each end recorded was traced, of this process and library; the ends by name."""
        assert losses(tracer.events) == []
        recorded = c_programs.recorded(self._records)
        traced = {(one.written, one.read): one for one in connections(tracer.events)}
        assert len(traced) == len(connections(tracer.events)) == len(recorded) == 4
        found = {name: traced[streams.written, streams.read] for name, streams in recorded.items()}
        for name, one in found.items():
            assert one.process.pid == self.pid
            assert one.process.comm == "t-messages"
            assert one.library.name == "openssl"
            assert one.connection.role == ("client" if name.endswith("client") else "server")
            assert {event.direction for event in one.events} == {"read", "write"}
            assert len(one.written) in (3 * 20_000, 3 * 20_001)
        return found


@pytest.fixture
def messages(tlstap: RunTlstap, certificates: Certificates, programs: Programs, records: Path) -> Messages:
    return Messages(tlstap, certificates, programs, records)


def lacks(switches: Sequence[str]) -> str:
    """Why this kernel can't do what the switches ask for, as tlstap says it; "" if it can."""
    facts = kernel_facts()
    if "multi" in switches and not facts.uprobe_multi:
        return "uprobe_multi"
    if "kprobe" in switches and not facts.kprobes:
        return "kprobes on tcp_sendmsg"
    if "tracepoint" in switches and facts.version < (6, 3):
        return "sock_send_length"
    return ""


def check_refusal(switches: Sequence[str], reason: str) -> None:
    """One line that says what lacks, and status 1."""
    command = [str(TLSTAP), "-p", str(os.getpid()), *switches]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("tlstap: ") and reason in line


@pytest.mark.parametrize(
    "switches",
    [
        ("--attach", "multi"),
        ("--attach", "single"),
        ("--sockets", "tracepoint"),
        ("--sockets", "kprobe"),
        ("--sockets", "syscall"),
        ("--attach", "single", "--sockets", "syscall"),
    ],
    ids="-".join,
)
def test_bytes_and_addresses(messages: Messages, switches: tuple[str, ...]) -> None:
    """Exact with every means that the kernel has; refused with those that it lacks."""
    if reason := lacks(switches):
        check_refusal(switches, reason)
        return
    tracer = messages.run(*switches)
    for name, one in messages.check_streams(tracer).items():
        assert one.ports == messages.ports[name]
        assert one.connection.local is not None
        assert one.connection.remote is not None
        assert (one.connection.local.address, one.connection.remote.address) == ("127.0.0.1", "127.0.0.1")
        assert not one.connection.inferred


@pytest.mark.parametrize("switches", [("--attach", "single"), ("--attach", "auto")], ids="-".join)
def test_the_life_of_each_connection(messages: Messages, switches: tuple[str, ...]) -> None:
    tracer = messages.run(*switches)
    found = messages.check_streams(tracer)
    for one in found.values():
        kinds = [
            event.kind
            for event in tracer.events
            if not isinstance(event, schema.LostEvent) and event.connection.id == one.id
        ]
        assert kinds[0] == "open"
        assert kinds[-1] == "close"
        assert kinds.count("open") == kinds.count("handshake") == kinds.count("close") == 1
    closed = [event for event in tracer.events if isinstance(event, schema.CloseEvent)]
    assert len(closed) == 4
    assert {(event.read_lost, event.written_lost) for event in closed} == {(0, 0)}


@pytest.mark.parametrize("attach", ["auto", "single"])
def test_no_addresses(messages: Messages, attach: str) -> None:
    tracer = messages.run("--attach", attach, "--sockets", "none")
    for one in messages.check_streams(tracer).values():
        assert (one.connection.local, one.connection.remote) == (None, None)
        assert not one.connection.inferred


def test_a_descriptor_that_is_no_network_socket_gives_no_address(messages: Messages) -> None:
    tracer = messages.run("--sockets", "syscall", transport="socketpair")
    for one in messages.check_streams(tracer).values():
        assert (one.connection.local, one.connection.remote) == (None, None)


@pytest.mark.parametrize("switch", ["--attach", "--sockets"])
def test_unknown_means_list_the_known_ones(switch: str) -> None:
    result = subprocess.run(
        [TLSTAP, switch, "nonsense"], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert "nonsense" in result.stderr
    assert "'auto'" in result.stderr
