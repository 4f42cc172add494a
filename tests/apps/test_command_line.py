"""tlstap as a command: its exit status, its ends, its refusals, its text."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.curl import curl_command, request_bytes
from tests.support.fixtures import RunTlstap
from tests.support.nginx import JSON, Nginx, free_port
from tests.support.tracer import READY, TLSTAP, read_events
from tests.support.traffic import connections, data_events

CURL_CANNOT_CONNECT = 7
NOT_PRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run tlstap to its end."""
    command = [str(TLSTAP), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_command_is_traced_and_its_status_returned(nginx: Nginx, tmp_path: Path) -> None:
    output = tmp_path / "events.json"
    command = curl_command(nginx, nginx.url("/json"))
    result = run("-f", "json", "-o", output, "--", *command)
    [traced] = connections(read_events(output))

    assert result.returncode == 0
    assert result.stdout.endswith("\n" + JSON.decode()), "the command's own output is the user's"
    assert traced.written == request_bytes(nginx, "/json")
    assert traced.read.endswith(JSON)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_status_of_a_failing_command(nginx: Nginx) -> None:
    command = ["curl", "-q", "-sS", "--noproxy", "*", f"https://127.0.0.1:{free_port()}/"]
    assert run("--", *command).returncode == CURL_CANNOT_CONNECT
    assert run("--", "sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM


def test_children_of_the_command_are_traced(nginx: Nginx, tmp_path: Path) -> None:
    output = tmp_path / "events.json"
    curl = " ".join(f"'{part}'" for part in curl_command(nginx, nginx.url("/json"), "-o", "/dev/null"))
    result = run("trace", "-f", "json", "-o", output, "--", "sh", "-c", f"({curl}); exit 3")
    [traced] = connections(read_events(output))

    assert result.returncode == 3
    assert traced.written == request_bytes(nginx, "/json")


def test_text_output_shows_the_exchange(nginx: Nginx, tmp_path: Path) -> None:
    command = curl_command(nginx, nginx.url("/json"), "-o", "/dev/null")
    result = run("--", *command)

    assert result.returncode == 0
    assert "GET /json" in result.stdout
    assert "HTTP/1.1 200 OK" in result.stdout or "200 OK" in result.stdout
    assert '"greeting"' in result.stdout
    assert f"127.0.0.1:{nginx.port}" in result.stdout
    assert NOT_PRINTABLE.search(result.stdout) is None


@pytest.mark.parametrize("color", ["never", "always"])
def test_traffic_cannot_control_the_terminal(nginx: Nginx, tmp_path: Path, color: str) -> None:
    """Escape sequences in a target, a header and a body; C1 controls and a right-to-left override too."""
    evil = b"\x1b]0;title\x07\x1b[2J\x1b[31m\xc2\x9b2J\x9b2J\r\x08\xe2\x80\xae"
    in_a_line = evil.replace(b"\r", b"")
    head = b"POST /json?%s HTTP/1.1\r\nHost: localhost\r\nX-Evil: %s\r\n" % (in_a_line, in_a_line)
    head += b"Content-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(evil)
    request = head + evil
    output = tmp_path / "text"
    arguments = ["-p", str(os.getpid()), "--color", color, "-f", "text"]
    with output.open("wb") as file:
        tracer = subprocess.Popen([TLSTAP, *arguments], stdout=file, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        while READY not in tracer.stderr.readline():
            assert tracer.poll() is None
        context = ssl.create_default_context(cafile=nginx.certificates.authority)
        with (
            socket.create_connection(("127.0.0.1", nginx.port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            tls.sendall(request)
            while tls.recv(4096):
                pass
        tracer.terminate()
        tracer.communicate(timeout=60)
    text = output.read_bytes().decode()

    assert tracer.returncode == 0
    assert "title" in text, "the traffic is shown"
    own_colours = re.sub(r"\x1b\[[0-9;]*m", "", text) if color == "always" else text
    assert NOT_PRINTABLE.search(own_colours) is None
    assert "\u202e" not in text
    assert "\x1b[31m\\x9b" not in text


def test_broken_pipe_ends_quietly(nginx: Nginx) -> None:
    command = [str(TLSTAP), "-p", str(os.getpid())]
    tracer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert tracer.stdout is not None
    assert tracer.stderr is not None
    while READY not in tracer.stderr.readline():
        assert tracer.poll() is None
    context = ssl.create_default_context(cafile=nginx.certificates.authority)
    deadline = time.monotonic() + 60
    while tracer.poll() is None:
        assert time.monotonic() < deadline, "tlstap did not end when nobody read its output any more"
        with (
            socket.create_connection(("127.0.0.1", nginx.port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            tls.sendall(b"GET /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while tls.recv(4096):
                pass
        if not tracer.stdout.closed:
            assert tracer.stdout.readline()
            tracer.stdout.close()
    messages = tracer.stderr.read()
    tracer.stderr.close()

    assert tracer.returncode == 0
    assert "Traceback" not in messages
    assert "Broken pipe" not in messages


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_in_order(tlstap: RunTlstap, nginx: Nginx, number: signal.Signals) -> None:
    with tlstap("-c", "nobody-of-that", stop=number) as tracer:
        pass
    assert data_events(tracer.events) == []
    assert tracer.seconds_to_stop < 3, "half a second is promised, the rest is for a busy machine"


def test_duration_ends_it(tmp_path: Path) -> None:
    started = time.monotonic()
    result = run("-c", "nobody-of-that", "--duration", "0.5", "-f", "json", "-o", tmp_path / "events")
    assert result.returncode == 0
    assert time.monotonic() - started > 0.5
    assert (tmp_path / "events").read_bytes() == b""


def test_without_root_one_line_says_why() -> None:
    # The capability only lets the user read the checkout, wherever it is.
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    readable = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    command = [*user, *readable, str(TLSTAP), "-p", str(os.getpid())]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "root" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["-p", "4194305"], 1, "4194305"),
        (["--lib", "nosuchlib"], 2, "openssl"),
        (["-f", "nosuchformat"], 2, "json"),
        (["--only", "nosuchkind"], 2, "data"),
        (["--", "/no/such/command"], 1, "/no/such/command"),
    ],
)
def test_refusals_name_the_culprit(arguments: list[str], status: int, word: str) -> None:
    result = run(*arguments)
    assert result.returncode == status
    assert word in result.stderr
    assert "Traceback" not in result.stderr
