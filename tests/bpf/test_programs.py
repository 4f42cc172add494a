"""Small programs that use OpenSSL in every way that matters: what each end moved is what tlstap shows."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.support.case import Case


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("api", ["plain", "ex"])
def test_messages(case: Case, api: str, version: str) -> None:
    case.run("messages", api, version, "tcp", 3, 5, 1000)
    case.check()
    assert len(case.traced) == 6
    for name, ports in case.ports().items():
        traced = case.end(name)
        assert traced.ports == ports
        assert not traced.connection.inferred
        assert traced.connection.role == ("client" if name.endswith("client") else "server")
        assert traced.process.pid == case.pid


@pytest.mark.parametrize("size", [1, 255, 256, 257, 16383, 16384, 16385, 50000, 200_000])
def test_sizes(case: Case, size: int) -> None:
    """One byte less and more than every bound that a record could have; several records a call."""
    case.run("messages", "plain", "1.3", "socketpair", 1, 2, size)
    case.check()


def test_no_address_without_a_network(case: Case) -> None:
    case.run("messages", "plain", "1.3", "socketpair", 1, 1, 100)
    case.check()
    for traced in case.traced:
        assert traced.connection.local is None
        assert traced.connection.remote is None


def test_peek(case: Case) -> None:
    case.run("peek")
    case.check()


@pytest.mark.parametrize("mode", ["whole", "partial"])
def test_retries(case: Case, mode: str) -> None:
    case.run("retries", mode, 300_000)
    case.check()
    [failed] = [int(line.split()[1]) for line in case.output if line.startswith("failed")]
    assert failed > 10


def test_tls_inside_tls(case: Case) -> None:
    case.run("nested")
    seen = Counter((each.read, each.written) for each in case.traced)
    expected = Counter((each.read, each.written) for each in case.recorded.values())
    assert len(expected) == 4
    assert seen == expected
    ports = case.ports()
    for name in ("outer-client", "outer-server"):
        assert case.end(name).ports == ports[name]


def test_write_within_a_write(case: Case) -> None:
    case.run("callback")
    case.check()


def test_fork(case: Case) -> None:
    case.run("forked", by_comm=True)
    case.check()
    [child] = [int(line.split()[1]) for line in case.output if line.startswith("child ")]
    assert case.end("child-client").process.pid == child
    assert case.end("parent-client").process.pid == case.pid
    assert case.end("parent-server").process.pid == case.pid
    assert case.end("child-client").id != case.end("parent-client").id


def test_threads(case: Case) -> None:
    case.run("threads", 4, 4, 4, 4000)
    case.check()
    assert len(case.traced) == 2 * (4 * 4 + 1)
    assert len({event.process.tid for event in case.end("shared-client").events}) == 4


def test_pointer_used_again(case: Case) -> None:
    case.run("reuse")
    case.check()
    [same] = [int(line.split()[1]) for line in case.output if line.startswith("same")]
    assert same > 0, "the program did not get the same pointer twice, so this proves nothing"
    for name, ports in case.ports().items():
        assert case.end(name).ports == ports


def test_early_data(case: Case) -> None:
    case.run("early_data")
    case.check()


def test_memory_bio(case: Case) -> None:
    case.run("memory_bio")
    case.check()
    for traced in case.traced:
        assert traced.connection.inferred or traced.connection.local is None
