"""Tracing from Python: tlstap.Tracer around a curl that talks to nginx."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.curl import curl_command, request_bytes
from tests.support.nginx import JSON, Nginx
from tests.support.traffic import connections

import tlstap
from tlstap import schema
from tlstap.errors import ProcessGoneError, UsageError


def fetch(nginx: Nginx, output: Path) -> list[str]:
    """A command that fetches /json."""
    return curl_command(nginx, "-o", output, nginx.url("/json"))


def events_of(**options: Any) -> list[schema.Event]:
    with tlstap.Tracer(**options) as tracer:
        return list(tracer)


def test_a_command(nginx: Nginx, tmp_path: Path) -> None:
    events = events_of(command=fetch(nginx, tmp_path / "output"))
    (traced,) = connections(events)
    response = (tmp_path / "output").read_bytes()

    assert response.endswith(JSON)
    assert traced.written == request_bytes(nginx, "/json")
    assert traced.read == response
    assert traced.process.comm == "curl"
    assert traced.process.exe == "/usr/bin/curl"
    assert traced.library.name == "openssl"
    assert traced.ports[1] == nginx.port
    (exchange,) = [event for event in events if isinstance(event, schema.HttpEvent)]
    assert exchange.request is not None and exchange.response is not None
    assert (exchange.request.target, exchange.response.status) == ("/json", 200)
    assert exchange.response.content == JSON


def test_events_are_models_of_the_schema(nginx: Nginx, tmp_path: Path) -> None:
    events = events_of(command=fetch(nginx, tmp_path / "output"))
    assert {event.kind for event in events} == {"open", "handshake", "data", "http", "close"}
    for event in events:
        assert schema.event_adapter.validate_json(event.model_dump_json()) == event
    numbers = [event.seq for event in events]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("kinds", [["http"], ["open", "close"], ["data"]])
def test_only_some_kinds(nginx: Nginx, tmp_path: Path, kinds: Sequence[str]) -> None:
    events = events_of(command=fetch(nginx, tmp_path / "output"), kinds=kinds)
    assert {event.kind for event in events} == set(kinds)


def test_stop_from_another_thread(nginx: Nginx) -> None:
    seen: list[schema.Event] = []
    ended = threading.Event()
    with tlstap.Tracer(comm="nobody-of-that") as tracer:

        def run() -> None:
            seen.extend(tracer)
            ended.set()

        thread = threading.Thread(target=run)
        thread.start()
        assert not ended.is_set()
        tracer.stop()
        thread.join(timeout=20)
        assert ended.is_set()
    assert seen == []


def test_events_come_while_tracing(nginx: Nginx, tmp_path: Path) -> None:
    """Not only when the trace ends: here the trace ends because the event was seen."""
    with tlstap.Tracer(libraries="openssl", pid=nginx.workers, kinds=["http"]) as tracer:
        subprocess.run(fetch(nginx, tmp_path / "output"), check=True)
        for event in tracer:
            assert isinstance(event, schema.HttpEvent)
            assert event.process.pid in nginx.workers
            assert event.connection.role == "server"
            tracer.stop()


def test_duration() -> None:
    with tlstap.Tracer(comm=["nobody-of-that", "nor-of-that"], duration=0.3) as tracer:
        began = time.monotonic()
        assert list(tracer) == []
    assert 0.2 < time.monotonic() - began < 20


def test_an_unknown_library_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no library 'nonsense'; known are: .*openssl"):
        events_of(libraries=["nonsense"])


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        tlstap.Tracer(kinds=["data", "datta"])
    assert str(caught.value) == f"no kind 'datta'; there are {', '.join(schema.KINDS)}"


def test_an_unknown_plugin_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no plugin 'nonsense' to leave out; known are: .*openssl"):
        tlstap.Tracer(no_plugins=["nonsense"])


def test_a_process_that_is_gone() -> None:
    with pytest.raises(ProcessGoneError, match="there is no process 4194305"), tlstap.Tracer(pid=4_194_305):
        pass


def test_errors_have_one_base() -> None:
    assert issubclass(UsageError, tlstap.TlstapError)
    assert issubclass(ProcessGoneError, tlstap.TlstapError)


def test_an_error_of_the_loop_is_the_users_own() -> None:
    with pytest.raises(ZeroDivisionError), tlstap.Tracer(comm="nobody-of-that"):
        raise ZeroDivisionError
