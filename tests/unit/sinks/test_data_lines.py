"""The fast way to a data event's line writes what the model writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support import samples

from tlstap import schema
from tlstap.convert import to_event, to_json
from tlstap.records import Data
from tlstap.sinks import data_lines
from tlstap.sinks.data_lines import DataLines
from tlstap.sinks.escape import escape_json

NAMES = st.text(max_size=20) | st.just(',"kind":"data","direction":"read') | st.just('"process":"\x1b\u202e')
SIZES = st.integers(0, 2**62)


def expected(record: Data, seq: int) -> str:
    event = to_event(record, seq)
    assert event is not None
    return escape_json(to_json(event))


@st.composite
def records(draw: st.DrawFn) -> Data:
    of = samples.connection(
        id=draw(st.integers(1, 3)), sni=draw(st.none() | NAMES), inferred=draw(st.booleans())
    )
    comm, exe = draw(NAMES), draw(st.none() | NAMES)
    process = schema.Process(pid=1, tid=2, uid=3, comm=comm, exe=exe, container=None)
    direction = draw(st.sampled_from(["read", "write"]))
    payload = draw(st.binary(max_size=50))
    return Data(
        of, process, draw(SIZES), direction, draw(SIZES), draw(SIZES), payload, draw(NAMES), draw(SIZES)
    )


@given(st.lists(st.tuples(records(), SIZES), max_size=8))
def test_the_same_as_the_model(given_records: list[tuple[Data, int]]) -> None:
    lines = DataLines()
    for record, seq in given_records:
        assert lines.line(record, seq) == expected(record, seq)


def test_what_becomes_known_is_shown() -> None:
    lines = DataLines()
    of = samples.connection(remote=None, tls_version=None)
    record = Data(of, of.process, 1, "read", 0, 3, b"abc", "SSL_read", 9)
    assert lines.line(record, 0) == expected(record, 0)
    of.remote, of.tls_version = schema.Endpoint(address="192.0.2.1", port=443), "TLSv1.3"
    assert '"192.0.2.1"' in lines.line(record, 1)
    assert lines.line(record, 1) == expected(record, 1)


def test_what_is_kept_is_bounded() -> None:
    lines = DataLines()
    for number in range(1, data_lines.MAX_CONNECTIONS + 10):
        of = samples.connection(id=number)
        record = Data(of, of.process, 1, "write", 0, 1, b"x", "SSL_write", 9)
        lines.line(record, number)
    assert 0 < len(lines._contexts) <= data_lines.MAX_CONNECTIONS
    assert lines.line(record, 5) == expected(record, 5)
