"""What a browser loaded with a page of the test nginx, decoded and compared with what nginx has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.support import http2
from tests.support.nginx import POSTED, UPLOADED, page_files, post_page_files
from tests.support.traffic import Traced, http_events
from tlstap import schema

_HAS_CLIENT = (".html", ".css", ".js", ".png")


def http1(events: Sequence[schema.Event], connections: Iterable[Traced]) -> list[tuple[str, str]]:
    """Authority and name of each thing that was asked for by HTTP/1.1; all came whole and as they are.

    The client's address and port are those that nginx has put into its answers.
    """
    files = page_files() | post_page_files()
    found = []
    for traced in connections:
        for event in http_events(events, traced):
            assert event.complete
            assert event.request is not None
            assert event.response is not None
            assert event.request.target is not None
            assert event.request.authority is not None
            name = event.request.target.partition("?")[0].removeprefix("/")
            if name == "upload":
                assert (event.request.method, event.request.content) == ("POST", POSTED)
                assert (event.response.status, event.response.content) == (200, UPLOADED)
            else:
                assert (event.request.method, event.request.content) == ("GET", b"")
                assert (event.response.status, event.response.content) == (200, files[name]), name
            if name.endswith(_HAS_CLIENT):
                local = event.connection.local
                assert local is not None
                assert dict(event.response.headers)["Client"] == f"{local.address} {local.port}"
            found.append((event.request.authority, name))
    return found


def http2_bodies(connections: Iterable[Traced]) -> tuple[list[bytes], list[bytes]]:
    """What was sent and what was received as bodies by HTTP/2."""
    sent, received = [], []
    for traced in connections:
        assert traced.written.startswith(http2.PREFACE)
        sent += http2.bodies(traced.written)
        received += http2.bodies(traced.read)
    return sent, received
