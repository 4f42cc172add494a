"""`tlstap replay`, from saved events to the screen."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import stat
import struct
import termios
from pathlib import Path
from textwrap import dedent

import pytest
from tests.support.samples import NOW, connection, rendered
from tests.unit.cli.conftest import Start, exchanges

from tlstap.cli import main
from tlstap.pipeline import Pipeline
from tlstap.records import Data, Opened
from tlstap.registry import Registry
from tlstap.sinks import jsonlines

SHOWN = dedent("""
    00:00:00.123 #3 curl[4242] openssl 3.0.15 10.0.0.2:51034 → 192.0.2.7:443 sni example.com
    00:00:00.123 #3 → GET /index.html HTTP/1.1
        Host: example.com

    00:00:00.123 #3 ← HTTP/1.1 200 OK (0.0 ms)
        Content-Length: 6

        hello

    00:00:00.123 #3 closed: 47 bytes sent, 44 bytes received
""").lstrip("\n")


def test_text_in_a_pipe(start: Start, capture: Path) -> None:
    process = start("replay", capture)
    assert process.communicate(timeout=60) == (SHOWN.encode(), b"")
    assert process.returncode == 0


def test_stdin(start: Start, capture: Path) -> None:
    process = start("replay", "-")
    assert process.communicate(capture.read_bytes(), timeout=60) == (SHOWN.encode(), b"")


def test_a_live_capture_replayed_to_json_is_the_same_byte_by_byte(tmp_path: Path) -> None:
    of = connection(id=9)
    live = [
        *exchanges(3),
        # And one that the end of the trace cuts off.
        Opened(of, of.process, NOW + 1, True),
        Data(of, of.process, NOW + 2, "write", 0, 27, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSL_write", 1),
    ]
    pipeline = Pipeline(Registry.load().protocols)
    records = [decoded for record in live for decoded in pipeline.feed(record)]  # type: ignore[arg-type]
    records += pipeline.finish(NOW + 3)
    saved, again = tmp_path / "saved", tmp_path / "again"
    saved.write_text(rendered(jsonlines.SINK, records))
    assert main(["replay", str(saved), "-f", "json", "-o", str(again)]) == 0
    kinds = [json.loads(line)["kind"] for line in saved.read_text().splitlines()]
    assert kinds.count("http") == 4
    assert again.read_bytes() == saved.read_bytes()
    assert stat.S_IMODE(again.stat().st_mode) == 0o600


def test_options_reach_the_format(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(capture), "--only", "http", "--max-body", "2", "--color", "always"]) == 0
    out = capsys.readouterr().out
    assert "    he\n" in out
    assert "[4 bytes left out; --max-body all shows everything]" in out
    assert "\x1b[1;35mGET\x1b[0m" in out
    assert "closed" not in out


def test_a_bad_line_ends_it_after_what_was_before(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = capture.read_bytes().splitlines(keepends=True)
    capture.write_bytes(b"".join(lines[:2]) + lines[2][:60])
    assert main(["replay", str(capture)]) == 1
    out, error = capsys.readouterr()
    assert "→ GET /index.html HTTP/1.1" in out
    assert "! GET /index.html incomplete: response not seen" in out
    assert error == f"tlstap: {capture}, line 3 is cut off; expected lines as tlstap -f json writes them\n"


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "/nowhere/x"]) == 1
    assert capsys.readouterr() == ("", "tlstap: can't read /nowhere/x: No such file or directory\n")


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"tlstap: can't read {tmp_path}: Is a directory\n"


def test_what_came_is_shown_while_it_waits_for_more(start: Start, capture: Path) -> None:
    process = start("replay", "-", "-f", "json")
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    first, second, *_ = capture.read_bytes().splitlines(keepends=True)
    for line in (first, second):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.read() == b""


def test_a_reader_who_leaves_ends_it_quietly(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "many"
    path.write_text(rendered(jsonlines.SINK, exchanges(3000)))
    process = start("replay", path)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b"00:00:00.123 #3 curl[4242]")
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""


def test_a_full_disk_is_told_once(start: Start, capture: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = start("replay", capture, stdout=full)
        assert process.communicate(timeout=60)[1] == b"tlstap: No space left on device\n"
    assert process.returncode == 1


def test_a_closed_stdout_is_told(start: Start, capture: Path) -> None:
    process = start("replay", capture, stdout=None, preexec_fn=lambda: os.close(1))
    assert process.communicate(timeout=60)[1] == b"tlstap: stdout is closed; give -o FILE\n"
    assert process.returncode == 1


def _on_terminal(start: Start, *arguments: str | Path, **environment: str) -> bytes:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = start(*arguments, stdout=slave, env=environment)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # Linux says so when the other end is closed.
        pass
    finally:
        os.close(master)
    assert process.wait(60) == 0
    return shown.replace(b"\r\n", b"\n")


def test_a_terminal_of_80_columns(start: Start, capture: Path) -> None:
    shown = _on_terminal(start, "replay", capture)
    assert b"\x1b[1;35mGET\x1b[0m" in shown
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode()
    assert plain == SHOWN.replace(" sni example.com\n", "\n    sni example.com\n")


def test_a_terminal_without_colour(start: Start, capture: Path) -> None:
    shown = _on_terminal(start, "replay", capture, NO_COLOR="1").decode()
    assert shown == SHOWN.replace(" sni example.com\n", "\n    sni example.com\n")


def test_a_terminal_that_is_not_unicode(start: Start, capture: Path) -> None:
    capture.write_text(capture.read_text().replace("example.com", "ex\\u00e4mple.com"))
    shown = _on_terminal(start, "replay", capture, NO_COLOR="1", PYTHONIOENCODING="ascii").decode("ascii")
    assert "10.0.0.2:51034 -> 192.0.2.7:443" in shown
    assert "sni ex\\xe4mple.com" in shown


def test_a_plugin_can_be_left_out(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(capture), "--no-plugin", "protocols"]) == 0
    assert "#3 → 47 bytes\n    GET /index.html HTTP/1.1\n    Host: example.com\n" in capsys.readouterr().out
    assert main(["replay", str(capture), "--no-plugin", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("tlstap: no plugin 'nonsense'")
