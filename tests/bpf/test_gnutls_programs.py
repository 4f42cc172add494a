"""Small programs that use GnuTLS in every way that matters: what each end moved is what tlstap shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.case import Case
from tests.support.fixtures import RunTlstap
from tests.support.gnutls import available
from tests.support.traffic import data_events, losses

from tlstap import schema

APIS = ("plain", "send2", "range", "seq", "packet")
RESUMES = ("null", "same", "other", "short", "thread")


def _number(case: Case, word: str) -> int:
    """What the program printed after this word."""
    [number] = [int(line.split()[1]) for line in case.output if line.startswith(f"{word} ")]
    return number


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("api", APIS)
def test_messages(case: Case, api: str, version: str) -> None:
    case.run("gnutls_messages", api, version, "tcp", 3, 5, 1000)
    case.check()
    assert len(case.traced) == 6
    for name, ports in case.ports().items():
        traced = case.end(name)
        assert traced.ports == ports
        assert not traced.connection.inferred
        assert traced.connection.role == ("client" if name.endswith("client") else "server")
        assert traced.process.pid == case.pid
        assert traced.library.name == "gnutls"
        assert traced.library.version is not None
        assert traced.library.version.startswith("3.")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("size", [1, 256, 16383, 16384, 16385, 50_000])
def test_sizes(case: Case, api: str, size: int) -> None:
    """One byte less and more than a TLS record's largest content; several records a message."""
    case.run("gnutls_messages", api, "1.3", "socketpair", 1, 2, size)
    case.check()
    assert (_number(case, "most") > 16384) == (api == "range" and size >= 16384)


def test_long_message(case: Case) -> None:
    case.run("gnutls_messages", "plain", "1.3", "tcp", 1, 1, 300_000)
    case.check()
    assert len(case.recorded["0-server"].read) == 300_000


def test_life_of_a_connection(case: Case) -> None:
    case.run("gnutls_messages", "plain", "1.3", "tcp", 1, 2, 100)
    case.check()
    for name, streams in case.recorded.items():
        number = case.end(name).id
        life = [
            event
            for event in case.tracer.events
            if not isinstance(event, schema.LostEvent) and event.connection.id == number
        ]
        opened, handshake, closed = life[0], life[1], life[-1]
        assert [event.kind for event in life[2:-1]] == ["data"] * 4
        assert isinstance(opened, schema.OpenEvent)
        assert opened.from_start
        assert isinstance(handshake, schema.HandshakeEvent)
        assert handshake.ok
        assert isinstance(closed, schema.CloseEvent)
        assert (closed.read_bytes, closed.written_bytes) == (len(streams.read), len(streams.written))
        assert (closed.read_lost, closed.written_lost) == (0, 0)


@pytest.mark.parametrize("resume", RESUMES)
@pytest.mark.parametrize("error", ["again", "interrupted"])
def test_send_that_is_resumed(case: Case, resume: str, error: str) -> None:
    """The bytes are those of the call that failed, whatever the buffer holds when it succeeds."""
    case.run("gnutls_resume", resume, error, "push", 8, 20_000)
    case.check()
    assert _number(case, "failed") == 3 * 2 * 8


@pytest.mark.parametrize(("size", "failed"), [(1, 6), (40, 6), (16384, 9), (16385, 15)])
def test_resumed_sizes(case: Case, size: int, failed: int) -> None:
    """Up to all that a record holds, and one byte more. A record that is short enough is sent at once."""
    case.run("gnutls_resume", "null", "again", "push", 3, size)
    case.check()
    assert _number(case, "failed") == failed


def test_send_that_the_goodbye_finishes(case: Case) -> None:
    case.run("gnutls_resume", "bye", "again", "push", 1, 10_000)
    case.check()
    assert len(case.end("resume-client").written) == 10_000
    assert _number(case, "failed") == 3


@pytest.mark.parametrize("resume", RESUMES)
def test_send_that_is_resumed_on_tcp(case: Case, resume: str) -> None:
    case.run("gnutls_resume", resume, "again", "tcp", 20, 40_000)
    case.check()
    assert _number(case, "failed") > 0
    for name, ports in case.ports().items():
        if name in case.recorded:
            assert case.end(name).ports == ports


@pytest.mark.parametrize("how", ["wait", "again", "interrupted"])
def test_cork(case: Case, how: str) -> None:
    case.run("gnutls_cork", how)
    case.check()
    assert _number(case, "failed") == (0 if how == "wait" else 12)


@pytest.mark.parametrize("how", ["after", "hook", "rejected"])
def test_early_data(case: Case, how: str) -> None:
    case.run("gnutls_early_data", how)
    case.check()
    early, later = b"in the first flight", b"after the handshake"
    seen = early + later if how == "rejected" else early + b", and some more" + later
    assert case.end("early-server").read == seen


@pytest.mark.parametrize("how", ["update", "corked", "handshake"])
def test_new_keys(case: Case, how: str) -> None:
    case.run("gnutls_rekey", how)
    case.check()
    assert len(case.traced) == 2
    handshakes = [event for event in case.tracer.events if isinstance(event, schema.HandshakeEvent)]
    assert len(handshakes) == 2


def test_pointer_used_again(case: Case) -> None:
    case.run("gnutls_reuse")
    case.check()
    assert _number(case, "same") > 0, "the program did not get the same pointer twice, so this proves nothing"
    assert len(case.traced) == 16
    ends = [event.kind for event in case.tracer.events if event.kind in ("open", "close")]
    assert ends == ["open", "open", "close", "close"] * 8
    for name, ports in case.ports().items():
        assert case.end(name).ports == ports


@pytest.mark.parametrize("how", ["twice", "held", "partly", "mixed"])
def test_packets(case: Case, how: str) -> None:
    case.run("gnutls_packets", how)
    case.check()


def _packets(case: Case) -> tuple[list[schema.DataEvent], schema.CloseEvent]:
    """The data events of the connection whose packets were looked into, and its end."""
    server = case.ports()["packets-server"]
    reads = [event for event in data_events(case.tracer.events) if event.direction == "read"]
    assert len({event.connection.id for event in reads}) == 1
    for event in reads:
        assert event.connection.local is not None
        assert event.connection.local.port == server[0]
        assert event.captured == event.length == len(event.data)
    number = reads[0].connection.id
    [closed] = [
        event
        for event in case.tracer.events
        if isinstance(event, schema.CloseEvent) and event.connection.id == number
    ]
    return reads, closed


def test_packets_looked_into_the_other_way_round(case: Case) -> None:
    """Each byte is where it is in the stream, and none is said to be lost."""
    case.run("gnutls_packets", "reversed")
    reads, closed = _packets(case)
    by_place = sorted(reads, key=lambda event: event.offset)
    content = case.recorded["packets-server"].read
    assert b"".join(event.data for event in by_place) == content
    assert [event.offset for event in by_place] == [0, 5000, 10000, 15000, 20000]
    assert losses(case.tracer.events) == []
    assert (closed.read_bytes, closed.read_lost) == (len(content), 0)


def test_packet_that_is_never_looked_into(case: Case, records: Path) -> None:
    """Its bytes are a gap where they are in the stream, for which the ring is not to blame."""
    case.run("gnutls_packets", "never")
    reads, closed = _packets(case)
    content = case.recorded["packets-server"].read
    assert content[5000:10000] == (records / "never.bytes").read_bytes()
    assert [event.offset for event in reads] == [0, 10000, 15000, 20000]
    for event in reads:
        assert event.data == content[event.offset : event.offset + event.length]
    [lost] = losses(case.tracer.events)
    assert lost.bytes == 5000
    assert "ring" not in lost.why
    assert (closed.read_bytes, closed.read_lost) == (len(content), 5000)


def test_threads(case: Case) -> None:
    case.run("gnutls_threads", 4, 200_000)
    case.check()
    assert len(case.traced) == 8
    for traced in case.traced:
        assert len({event.process.tid for event in traced.events}) == 2


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_details(case: Case, version: str) -> None:
    """What the application asks one by one."""
    case.run("gnutls_details", version, "each")
    case.check()
    client, server = case.end("details-client").connection, case.end("details-server").connection
    assert (client.sni, server.sni) == ("tests.example", None)
    suites = {"1.2": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "1.3": "TLS_AES_256_GCM_SHA384"}
    assert f"suite {suites[version]}" in case.output
    for connection in (client, server):
        assert connection.alpn == "http/1.1"
        assert connection.tls_version == f"TLSv{version}"
        assert connection.cipher == suites[version]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_description(case: Case, version: str) -> None:
    """What the application asks as one text."""
    case.run("gnutls_details", version, "description")
    case.check()
    [text] = {line.partition(" ")[2] for line in case.output if line.startswith("description ")}
    ciphers = text.removeprefix(f"(TLS{version})-")
    assert ciphers.startswith("(ECDHE-")
    for name in ("details-client", "details-server"):
        connection = case.end(name).connection
        assert (connection.tls_version, connection.cipher) == (f"TLSv{version}", ciphers)


def test_both_libraries_in_turn(case: Case) -> None:
    case.run("gnutls_openssl", "turns")
    case.check()
    assert len(case.traced) == 4
    for name, ports in case.ports().items():
        traced = case.end(name)
        assert traced.ports == ports
        assert traced.library.name == name.partition("-")[0]
        assert not traced.connection.inferred


@pytest.mark.parametrize(("how", "outer"), [("gnutls-inside", "openssl"), ("openssl-inside", "gnutls")])
def test_one_library_inside_the_other(case: Case, how: str, outer: str) -> None:
    """Both are shown, the inner one's records as the outer one's data."""
    case.run("gnutls_openssl", how)
    case.check()
    assert len(case.traced) == 4
    ports = case.ports()
    assert set(ports) == {f"{outer}-client", f"{outer}-server"}
    for name in case.recorded:
        traced = case.end(name)
        library, _, end = name.partition("-")
        assert traced.library.name == library
        assert traced.ports == ports[f"{outer}-{end}"]
        assert traced.connection.inferred == (library != outer)


@pytest.mark.parametrize("chosen", ["openssl", "gnutls"])
def test_one_library_of_two(tlstap: RunTlstap, case: Case, chosen: str) -> None:
    case.run("gnutls_openssl", "turns", options=("--lib", chosen))
    found = {(traced.read, traced.written) for traced in case.traced}
    wanted = [streams for name, streams in case.recorded.items() if name.startswith(chosen)]
    assert found == {(streams.read, streams.written) for streams in wanted}
    assert len(wanted) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        *(("gnutls_messages", api, "1.3", "tcp", 2, 2, 20_000) for api in APIS),
        ("gnutls_resume", "null", "again", "push", 4, 20_000),
        ("gnutls_cork", "again"),
        ("gnutls_early_data", "after"),
        ("gnutls_rekey", "corked"),
        ("gnutls_packets", "twice"),
        ("gnutls_reuse",),
    ],
    ids=lambda arguments: "-".join(map(str, arguments[:2])),
)
def test_newer_gnutls(case: Case, arguments: tuple[str | int, ...]) -> None:
    """GnuTLS 3.8: both ends are this version."""
    try:
        newer = available()
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)
    name, *own = arguments
    case.run(str(name), *own, libraries=newer)
    case.check()
    assert {traced.library.version for traced in case.traced} == {newer.version}
