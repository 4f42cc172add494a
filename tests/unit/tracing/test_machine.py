"""Answers about images, probes, processes and sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tlstap.discovery.files import FileIdentity
from tlstap.discovery.report import ImageReport
from tlstap.discovery.scan import Image
from tlstap.library import DataProbe, DetailProbe, Library, Recognise
from tlstap.schema import Endpoint, LibraryInfo
from tlstap.tracing import machine as module
from tlstap.tracing.engine import Engine, Totals
from tlstap.tracing.layout import ADDRESS, FAMILY_DESCRIPTOR
from tlstap.tracing.machine import Machine, ProbedImage
from tlstap.tracing.plan import ProbeTable

READ = DataProbe(function="my_read", fallbacks=("my_old_read",), direction="read")
WRITE = DataProbe(function="my_write", direction="write")
SNI = DetailProbe(function="my_name", details=("sni",), value=2)
ALPN = DetailProbe(function="my_alpn", details=("alpn",), value=2)
UNUSED_PID = 4_194_305


def library(name: str, *more: DetailProbe) -> Library:
    return Library(name=name, title=name, recognise=Recognise(symbols=("x",)), probes=(READ, WRITE, *more))


MINE, FORK = library("mine", SNI), library("fork", ALPN)
TABLE = ProbeTable([MINE, FORK])


class Plugins:
    """Describes details, and notes which library it was asked about."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    def __call__(self, library: Library, detail: str, value: bytes) -> str | None:
        self.asked.append((library.name, detail, value))
        return {b"unknown": "", b"\1": "one"}.get(value)


@pytest.fixture
def plugins() -> Plugins:
    return Plugins()


@pytest.fixture
def machine(plugins: Plugins) -> Machine:
    return Machine(TABLE, plugins)


def probed(library: Library, path: str, functions: dict[int, str], pids: Sequence[int] = ()) -> ProbedImage:
    image = Image(
        FileIdentity(1, 2, 3, 4, 5), path, None, ImageReport(machine="x86_64", build_id=None), set(pids)
    )
    info = LibraryInfo(name=library.name, version="1", path=path, build_id=None)
    return ProbedImage(library, info, image, functions)


INDEX = {probe: TABLE.index(probe) for probe in (READ, WRITE, SNI, ALPN)}


def test_images_are_numbered_from_one(machine: Machine) -> None:
    one = probed(MINE, "/lib/one", {INDEX[READ]: "my_read"})
    two = probed(FORK, "/lib/two", {INDEX[READ]: "my_old_read"})
    assert (machine.add_image(one), machine.add_image(two)) == (1, 2)
    assert machine.images == [one, two]
    assert machine.library(1, INDEX[READ], 100) is one.info
    assert machine.library(2, INDEX[READ], 100) is two.info
    assert machine.function(1, INDEX[READ]) == "my_read"
    assert machine.function(2, INDEX[READ]) == "my_old_read", (
        "the function that was found, not the declared one"
    )
    assert machine.function(0, INDEX[READ]) == "my_read", "with single attachment the image is not known"


def test_without_a_number_the_process_tells_the_image(machine: Machine) -> None:
    one = probed(MINE, "/lib/one", {INDEX[READ]: "my_read"}, pids=[100])
    two = probed(FORK, "/lib/two", {INDEX[READ]: "my_read"}, pids=[200])
    other = probed(FORK, "/lib/three", {INDEX[ALPN]: "my_alpn"}, pids=[300])
    for image in (one, two, other):
        machine.add_image(image)
    assert machine.library(0, INDEX[READ], 100) is one.info
    assert machine.library(0, INDEX[READ], 200) is two.info
    assert machine.library(0, INDEX[ALPN], UNUSED_PID) is other.info, "only one image has this probe"


def test_without_a_number_no_image_is_guessed(machine: Machine) -> None:
    same = [probed(MINE, f"/lib/{name}", {INDEX[READ]: "my_read"}) for name in ("a", "b")]
    for image in same:
        machine.add_image(image)
    unknown = machine.library(0, INDEX[READ], UNUSED_PID)
    assert unknown == LibraryInfo(name="mine", version=None, path=None, build_id=None)
    machine.add_image(probed(FORK, "/lib/c", {INDEX[READ]: "my_read"}))
    assert machine.library(0, INDEX[READ], UNUSED_PID).name == "unknown"


def test_a_stand_in_goes_by_the_name_of_the_other(machine: Machine) -> None:
    for name in ("a", "b"):
        image = probed(MINE, f"/lib/{name}", {INDEX[READ]: "my_read"})
        info = image.info.model_copy(update={"name": "other"})
        machine.add_image(replace(image, info=info))
    assert machine.library(0, INDEX[READ], UNUSED_PID).name == "other"


def test_the_plugin_that_declared_the_probe_describes(machine: Machine, plugins: Plugins) -> None:
    machine.add_image(probed(MINE, "/lib/one", {}))
    machine.add_image(probed(FORK, "/lib/two", {}))
    assert machine.describe(0, INDEX[SNI], b"\1") == [("sni", "one")]
    assert machine.describe(0, INDEX[ALPN], b"unknown") == [("alpn", "")]
    assert machine.describe(0, INDEX[ALPN], b"h2\xff") == [("alpn", "h2\\xff")]
    assert plugins.asked == [
        ("mine", "sni", b"\1"),
        ("fork", "alpn", b"unknown"),
        ("fork", "alpn", b"h2\xff"),
    ]


# ---- processes ----


def test_a_process_that_is_there(machine: Machine) -> None:
    process = machine.process(os.getpid(), 7, 1000, "thread")
    assert (process.pid, process.tid, process.uid, process.comm) == (os.getpid(), 7, 1000, "thread")
    assert process.exe == str(Path("/proc/self/exe").readlink())


def test_what_was_seen_of_a_process_outlives_it(machine: Machine) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        machine.look_at_process(child.pid)
        seen = machine.process(child.pid, child.pid, 0, "python3")
        child.kill()
    assert seen.exe is not None
    assert machine.process(child.pid, child.pid, 0, "python3") == seen
    machine.look_at_process(child.pid)
    assert machine.process(child.pid, child.pid, 0, "python3") == seen, "looking too late forgets nothing"


@pytest.mark.parametrize(
    ("executed", "exe"), [("/usr/bin/true", "/usr/bin/true"), ("./true", None), ("", None), (None, None)]
)
def test_a_process_that_was_gone_at_once(machine: Machine, executed: str | None, exe: str | None) -> None:
    machine.look_at_process(UNUSED_PID, executed)
    assert machine.process(UNUSED_PID, 1, 2, "true").exe == exe


def test_processes_are_not_remembered_without_a_bound(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PROCESSES", 3)
    for pid in range(UNUSED_PID, UNUSED_PID + 10):
        machine.look_at_process(pid, "/bin/true")
        assert len(machine._processes) <= 3


# ---- sockets, totals ----


def test_a_descriptor_looked_at_in_time_outlives_the_socket(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=20)
        ports = client.getsockname()[1], listener.getsockname()[1]
        address = ADDRESS.pack(b"", b"", client.fileno(), 0, FAMILY_DESCRIPTOR)
        machine.look_at_socket(os.getpid(), address)
        client.close()
    ends = machine.ends(address, os.getpid())
    assert ends == tuple(Endpoint(address="127.0.0.1", port=port) for port in ports)
    assert machine.ends(address, os.getpid()) is None, "the descriptor may be another socket next time"


def test_sockets_are_not_remembered_without_a_bound(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SOCKETS", 2)
    ends = (Endpoint(address="1.2.3.4", port=5), Endpoint(address="1.2.3.4", port=6))
    monkeypatch.setattr(module, "ends_of", lambda address, pid: ends)
    for descriptor in range(10):
        machine.look_at_socket(1, ADDRESS.pack(b"", b"", descriptor, 0, FAMILY_DESCRIPTOR))
        assert len(machine._sockets) <= 2


class Counting:
    """The engine, as far as the machine asks it."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[int, int]] = []

    def totals(self, handle: int, tgid: int) -> Totals | None:
        return Totals(handle, tgid, 7, 1, 2)

    def forget(self, handle: int, tgid: int) -> None:
        self.forgotten.append((handle, tgid))


def test_the_engine_counts(machine: Machine) -> None:
    assert machine.totals(5, 100) is None, "there is no engine yet"
    engine = Counting()
    machine.engine = cast("Engine", engine)
    assert machine.totals(5, 100) == Totals(5, 100, 7, 1, 2)
    machine.forget(5, 100)
    assert engine.forgotten == [(5, 100)]
