"""docs/plugins.md: the commands that need root, and what its plugins capture, to the byte."""

from __future__ import annotations

import pytest
from tests.support.guide import Guide, Step, steps
from tests.support.tracer import read_events
from tests.support.traffic import connections, losses

COMMANDS = steps(root=True)
REQUEST = b"GET /hello HTTP/1.1\r\nHost: example.com\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Guide:
    """The page, followed in a folder."""
    return Guide(tmp_path_factory.mktemp("guide"))


def by_command(value: object) -> str | None:
    return value.command if isinstance(value, Step) else None


@pytest.mark.parametrize(("project", "step"), COMMANDS, ids=by_command)
def test_commands(guide: Guide, project: str, step: Step) -> None:
    guide.prepare(step)
    guide.check(project, step)


@pytest.mark.parametrize(
    ("project", "library", "program", "version"),
    [("tlstap-wolfssl", "wolfssl", "client", None), ("tlstap-acme", "acme", "talk", "TLSv1.3")],
)
def test_exactly_what_was_moved(
    guide: Guide, project: str, library: str, program: str, version: str | None
) -> None:
    """No peek; one connection, though of two handles, and what a function without a symbol sends."""
    output = guide.folder / f"{library}.json"
    guide.run(project, Step(f"sudo tlstap --lib {library} -f json -o {output} -- ./{program}", []))
    events = read_events(output)
    assert losses(events) == []
    (traced,) = connections(events)
    assert (traced.written, traced.read) == (REQUEST, RESPONSE)
    kinds = [event.kind for event in events]
    assert kinds[0] == "open" and "handshake" in kinds and kinds[-1] == "close"
    assert [event.connection.tls_version for event in events if event.kind == "close"] == [version]
    assert {event.library.name for event in events if event.kind == "data"} == {library}
