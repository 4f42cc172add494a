"""Socket addresses as BPF and /proc have them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address

import pytest

from tlstap.schema import Endpoint
from tlstap.tracing.addresses import Ends, ends_of, ends_of_descriptor
from tlstap.tracing.layout import ADDRESS, FAMILY_DESCRIPTOR, FAMILY_INET, FAMILY_INET6, FAMILY_NONE

UNUSED_PID = 4_194_305
"""More than the kernel gives out."""


def ends(local: str, local_port: int, remote: str, remote_port: int) -> Ends:
    return Endpoint(address=local, port=local_port), Endpoint(address=remote, port=remote_port)


def six(local: str, local_port: int, remote: str, remote_port: int) -> bytes:
    packed = (IPv6Address(local).packed, IPv6Address(remote).packed)
    return ADDRESS.pack(*packed, local_port, remote_port, FAMILY_INET6)


def test_ipv4() -> None:
    raw = ADDRESS.pack(
        IPv4Address("10.1.2.3").packed, IPv4Address("192.0.2.254").packed, 50001, 443, FAMILY_INET
    )
    assert ends_of(raw, 1) == ends("10.1.2.3", 50001, "192.0.2.254", 443)


def test_ipv6() -> None:
    raw = six("2001:db8::1", 65535, "fe80::a:b", 8443)
    assert ends_of(raw, 1) == ends("2001:db8::1", 65535, "fe80::a:b", 8443)


def test_ipv4_on_an_ipv6_socket_is_ipv4() -> None:
    raw = six("::ffff:10.1.2.3", 50001, "::ffff:192.0.2.7", 443)
    assert ends_of(raw, 1) == ends("10.1.2.3", 50001, "192.0.2.7", 443)


@pytest.mark.parametrize("family", [FAMILY_NONE, 1, 16, 40])
def test_other_families_have_no_address(family: int) -> None:
    assert ends_of(ADDRESS.pack(b"\1" * 16, b"\2" * 16, 5, 6, family), os.getpid()) is None


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


def pair(stack: ExitStack, listen: str, connect: str) -> tuple[socket.socket, socket.socket]:
    """A connected client and its server's end."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    listener = stack.enter_context(socket.socket(family))
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((listen, 0))
    listener.listen()
    client = stack.enter_context(socket.create_connection((connect, listener.getsockname()[1]), timeout=20))
    server = stack.enter_context(listener.accept()[0])
    return client, server


def of_descriptor(pid: int, descriptor: int) -> Ends | None:
    return ends_of(ADDRESS.pack(b"", b"", descriptor, 0, FAMILY_DESCRIPTOR), pid)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_ends_of_a_real_socket(stack: ExitStack, host: str) -> None:
    client, server = pair(stack, host, host)
    one, other = client.getsockname()[1], server.getsockname()[1]
    assert of_descriptor(os.getpid(), client.fileno()) == ends(host, one, host, other)
    assert of_descriptor(os.getpid(), server.fileno()) == ends(host, other, host, one)


def test_ipv4_on_a_real_ipv6_socket(stack: ExitStack) -> None:
    client, server = pair(stack, "::", "127.0.0.1")
    assert server.family == socket.AF_INET6
    one, other = client.getsockname()[1], server.getsockname()[1]
    assert of_descriptor(os.getpid(), server.fileno()) == ends("127.0.0.1", other, "127.0.0.1", one)


def test_what_is_no_tcp_socket(stack: ExitStack) -> None:
    one, other = socket.socketpair()
    stack.enter_context(one)
    stack.enter_context(other)
    file = os.open(os.devnull, os.O_RDONLY)
    stack.callback(os.close, file)
    assert of_descriptor(os.getpid(), one.fileno()) is None
    assert of_descriptor(os.getpid(), file) is None


def test_what_is_gone(stack: ExitStack) -> None:
    client, _ = pair(stack, "127.0.0.1", "127.0.0.1")
    number = client.fileno()
    client.close()
    assert ends_of_descriptor(os.getpid(), number) is None
    assert ends_of_descriptor(os.getpid(), 2**31) is None
    assert ends_of_descriptor(UNUSED_PID, 0) is None
