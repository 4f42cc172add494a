"""Processes that come late, load the library late or live elsewhere; a tracer that is killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.curl import curl, curl_command
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, Nginx
from tests.support.programs import Programs
from tests.support.traffic import connections, data_events, losses, with_ports
from tests.support.wait import wait_until

from tlstap import schema

REQUEST = b"GET /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A file with a request, and one for the response."""
    request, response = tmp_path / "request", tmp_path / "response"
    request.write_bytes(REQUEST)
    return request, response


def test_library_loaded_late(
    tlstap: RunTlstap, nginx: Nginx, programs: Programs, own_libraries: Path, files: tuple[Path, Path]
) -> None:
    """The program loads a library that nobody used when tlstap started."""
    request, response = files
    library = own_libraries / "libssl.so.3"
    command: list[str | Path] = [programs.path("late_dlopen"), library, str(nginx.port), request, response]
    running = c_programs.start(command, {**os.environ, "LD_LIBRARY_PATH": str(own_libraries)})
    with tlstap("-p", running.pid) as tracer:
        running.go()
        assert running.line() == "loaded"
        wait_until(lambda: any(str(library) in line for line in tracer.messages), "tlstap to see the library")
        running.go()
        [port] = running.finish()
    traced = with_ports(connections(tracer.events), int(port), nginx.port)

    assert (traced.written, traced.read) == (REQUEST, response.read_bytes())
    assert traced.library.path == str(library)
    assert response.read_bytes().endswith(JSON)


def test_process_started_late(
    tlstap: RunTlstap, nginx: Nginx, programs: Programs, own_libraries: Path, files: tuple[Path, Path]
) -> None:
    """The process, with a library of its own, starts when tlstap already runs."""
    request, response = files
    path = programs.path("bio_client")
    with tlstap("-c", path.name) as tracer:
        command: list[str | Path] = [path, f"127.0.0.1:{nginx.port}", request, response]
        running = c_programs.start(command, {**os.environ, "LD_LIBRARY_PATH": str(own_libraries)})
        wait_until(
            lambda: any(str(own_libraries) in line for line in tracer.messages), "tlstap to see the library"
        )
        running.go()
        [port] = running.finish()
    traced = with_ports(connections(tracer.events), int(port), nginx.port)

    assert (traced.written, traced.read) == (REQUEST, response.read_bytes())
    assert traced.process.pid == running.pid


def test_other_mount_namespace(
    tlstap: RunTlstap, nginx: Nginx, programs: Programs, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    """The library's path, as its process sees it, does not exist for tlstap."""
    request, response = files
    own = tmp_path / "own"
    own.mkdir()
    script = (
        f"mount -t tmpfs tmpfs {own} && cp -L /usr/lib/*-linux-gnu/libssl.so.3 "
        f"/usr/lib/*-linux-gnu/libcrypto.so.3 {own}/ && export LD_LIBRARY_PATH={own} && exec "
        f"{programs.path('bio_client')} 127.0.0.1:{nginx.port} {request} {response}"
    )
    running = c_programs.start(["unshare", "--mount", "--propagation", "private", "sh", "-c", script])
    assert not (own / "libssl.so.3").exists()
    with tlstap("-p", running.pid) as tracer:
        running.go()
        [port] = running.finish()
    traced = with_ports(connections(tracer.events), int(port), nginx.port)

    assert (traced.written, traced.read) == (REQUEST, response.read_bytes())
    assert traced.library.path == str(own / "libssl.so.3")


def test_losses_are_told_to_the_byte(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    """tlstap is stopped during a download that its small ring can't hold."""
    with tlstap("-c", "curl", "--buffer", "64K") as tracer:
        tracer.process.send_signal(signal.SIGSTOP)
        run = curl(nginx, tmp_path, nginx.url("/big.bin"))
        tracer.process.send_signal(signal.SIGCONT)
    [data] = {event.connection.id for event in data_events(tracer.events)}
    received = [event for event in data_events(tracer.events) if event.direction == "read"]
    captured = sum(event.captured for event in received)
    lost = sum(event.bytes for event in losses(tracer.events))
    [closed] = [event for event in tracer.events if isinstance(event, schema.CloseEvent)]

    assert lost > 0
    assert captured + lost == len(run.response)
    assert closed.connection.id == data
    assert (closed.read_bytes, closed.read_lost) == (len(run.response), lost)
    assert closed.written_lost == 0
    for event in received:
        assert event.data == run.response[event.offset : event.offset + event.captured]
    assert any(re.search(rf"\b{lost:,}|\b{lost}\b", line) for line in tracer.messages), tracer.messages


def _text_is_changed(pid: int, library: Path) -> bool:
    """Whether the process's code of the library differs from the file: where a uprobe is, it has a trap."""
    content = library.read_bytes()
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    [line] = [line for line in maps if line.endswith(str(library)) and " r-xp " in line]
    bounds, _, offset, *_ = line.split()
    start, end = (int(bound, 16) for bound in bounds.split("-"))
    file_offset = int(offset, 16)
    size = min(end - start, len(content) - file_offset)
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(start)
        return memory.read(size) != content[file_offset : file_offset + size]


def test_killed_tracer_leaves_nothing_behind(
    tmp_path: Path,
    certificates: Certificates,
    programs: Programs,
    own_libraries: Path,
    records: Path,
    tlstap: RunTlstap,
) -> None:
    """After kill -9 the program runs on, with its own code."""
    library = own_libraries / "libssl.so.3"
    arguments = c_programs.arguments(records, certificates, "plain", "1.3", "tcp", 2, 2, 100)
    running = c_programs.start(
        [programs.path("messages"), *arguments], {**os.environ, "LD_LIBRARY_PATH": str(own_libraries)}
    )
    assert not _text_is_changed(running.pid, library)
    with pytest.raises(AssertionError, match="exit status is -9"), tlstap("-p", running.pid) as tracer:
        assert _text_is_changed(running.pid, library)
        tracer.process.kill()
        tracer.process.wait()
    wait_until(lambda: not _text_is_changed(running.pid, library), "the probes to vanish")
    running.go()
    running.finish()
    streams = c_programs.recorded(records)
    assert streams["1-client"].written == streams["1-server"].read != b""


def test_two_tracers_at_once(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    with tlstap("-c", "curl") as first, tlstap("-c", "curl") as second:
        run = curl(nginx, tmp_path, nginx.url("/json"))
    for tracer in (first, second):
        traced = with_ports(connections(tracer.events), run.local_port, nginx.port)
        assert traced.read == run.response


def test_filters_keep_others_out(tlstap: RunTlstap, nginx: Nginx, tmp_path: Path) -> None:
    """A copy of curl under another name is another program."""
    other = tmp_path / "other-curl"
    shutil.copy("/usr/bin/curl", other)
    with (
        tlstap("-c", "other-curl") as by_comm,
        tlstap("--exe", other) as by_exe,
        tlstap("-p", nginx.workers[0]) as by_pid,
        tlstap("-u", 65534, "-c", "other-curl") as by_uid,
        tlstap("--lib", "openssl", "-c", "other-curl") as by_library,
    ):
        curl(nginx, tmp_path, nginx.url("/json?by=curl"))
        command = curl_command(nginx, nginx.url("/json?by=other"), "-o", "/dev/null")
        subprocess.run([str(other), *command[1:]], check=True)

    for tracer in (by_comm, by_exe, by_library):
        [traced] = connections(tracer.events)
        assert traced.written.startswith(b"GET /json?by=other ")
        assert (traced.process.comm, traced.process.exe) == ("other-curl", str(other))
    assert {traced.process.pid for traced in connections(by_pid.events)} == set(nginx.workers)
    assert [traced.read.split(b" ")[1] for traced in connections(by_pid.events)] == [
        b"/json?by=curl",
        b"/json?by=other",
    ]
    assert data_events(by_uid.events) == []
