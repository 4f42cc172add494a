"""Functions on trial: what proves and refutes them, and what becomes of their records meanwhile."""

from __future__ import annotations

import re

import pytest
from tests.unit.tracing.raw import Raw

from tlstap.tracing.layout import Flag
from tlstap.tracing.trial import (
    BUFFERED,
    CALLS_WATCHED,
    HELD_BYTES,
    Suspect,
    Trial,
    Trials,
    agrees,
    encrypted,
)

READ, WRITE = 5, 6
IMAGE = 3
PID = 100
HELLO = b"x" * 500
RECORD = 22

reader = Raw(probe=READ, image=IMAGE, flags=Flag.FROM_START, pid=PID)
writer = reader.but(probe=WRITE)
stranger = Raw(probe=1, image=1, pid=PID)


class Case:
    """One suspect with a reader and a writer, and what became of it."""

    def __init__(self, *, key: int = IMAGE) -> None:
        self.withdrawn: list[tuple[set[int], str]] = []
        self.ended: list[tuple[int, int]] = []
        self.traffic: dict[int, tuple[int, int]] = {}
        self.trials = Trials(
            self._withdraw, lambda pid: self.traffic.get(pid, (0, 0)), lambda *one: self.ended.append(one)
        )
        self.trials.add(
            key, IMAGE, "BoringSSL, /opt/b", {READ: Trial("SSL_read", 0), WRITE: Trial("SSL_write", 1)}
        )

    def _withdraw(self, suspect: Suspect, why: str) -> None:
        self.withdrawn.append((suspect.images, why))

    def take(self, *records: bytes) -> list[bytes]:
        return [out for raw in records for out in self.trials.take(raw)]

    def finish(self) -> list[bytes]:
        return list(self.trials.finish())

    @property
    def why(self) -> str:
        """Why it was withdrawn."""
        ((_, why),) = self.withdrawn
        return why


def read(moved: int = len(HELLO), **given: int) -> bytes:
    """Evidence of a call that read, and received a record for it."""
    return reader.evidence("read", moved, **{"in_call": moved + RECORD, "received": 10_000} | given)


def write(moved: int = len(HELLO), **given: int) -> bytes:
    return writer.evidence("write", moved, **{"in_call": moved + RECORD, "sent": 10_000} | given)


DATA_READ = reader.data("read", 0, HELLO, room=1024)
DATA_WRITTEN = writer.data("write", 0, HELLO, room=1024)


def test_records_of_others_pass() -> None:
    case = Case()
    passing = [stranger.birth(), stranger.data("read", 0, b"abc"), stranger.exec(), stranger.end(3, 0)]
    assert case.take(*passing) == passing


def test_the_first_call_that_agrees_proves_its_function_and_nothing_else() -> None:
    case = Case()
    birth, handshake = reader.birth(), reader.handshake()
    assert case.take(birth, handshake) == []
    assert case.take(write(), DATA_WRITTEN) == [birth, handshake, DATA_WRITTEN]
    assert case.take(reader.evidence("read", 500, received=9000), DATA_READ) == []
    assert case.take(read(), DATA_READ) == [DATA_READ, DATA_READ]
    assert case.withdrawn == []


@pytest.mark.parametrize(
    ("plaintext", "on_sockets", "expected"),
    [
        (500, 500, False),
        (500, 520, False),
        (500, 521, True),
        (500, 529, True),
        (500, 500 + 62 + 4096, True),
        (500, 500 + 63 + 4096, False),
        (500, 0, False),
        (16384, 16384 + 21, True),
        (16385, 16385 + 21, False),
        (16385, 16385 + 42, True),
        (0, 21, False),
    ],
)
def test_records_are_a_little_longer_than_their_plaintext(
    plaintext: int, on_sockets: int, expected: bool
) -> None:
    assert agrees(plaintext, on_sockets) is expected


def test_the_least_that_plaintext_takes() -> None:
    assert [encrypted(size) for size in (0, 1, 16384, 16385)] == [0, 22, 16405, 16385 + 42]


def test_bytes_that_are_not_encrypted_prove_nothing() -> None:
    case = Case()
    assert case.take(read(in_call=500), DATA_READ) == []
    assert case.withdrawn == []


def test_what_a_buffer_holds_is_proven_by_the_process_s_traffic() -> None:
    """Received before the call: since the last one, a record's worth."""
    case = Case()
    assert case.take(reader.evidence("read", 500, received=500 + RECORD), DATA_READ) == [DATA_READ]


def test_what_is_sent_later_proves_the_writer() -> None:
    case = Case()
    assert case.take(writer.evidence("write", 500, sent=1000), DATA_WRITTEN) == []
    case.traffic[PID] = 0, 1000
    assert list(case.trials.look_again()) == []
    case.traffic[PID] = 0, 1000 + 500 + RECORD
    assert list(case.trials.look_again()) == [DATA_WRITTEN]
    assert not case.trials.holding


def test_what_is_sent_later_shows_in_the_next_evidence() -> None:
    case = Case()
    assert case.take(writer.evidence("write", 500, sent=1000), DATA_WRITTEN) == []
    later = reader.evidence("read", 500, in_call=522, received=4000, sent=1000 + 500 + RECORD)
    assert case.take(later, DATA_READ) == [DATA_WRITTEN, DATA_READ]


def test_a_record_in_pieces_proves_the_reader_when_it_is_large() -> None:
    case = Case()
    chunk = 1000
    piece = reader.data("read", 0, b"y" * chunk, room=2048)
    taken = []
    for number in range(20):
        in_call = 16384 + RECORD if number == 0 else 4000 + RECORD if number == 17 else 0
        # All of it was received before, together with other things.
        taken += case.take(reader.evidence("read", chunk, in_call=in_call, received=10**6), piece)
    assert taken == [piece] * 20


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (
            reader.evidence("read", 0, asked=500, plausible=False),
            "SSL_read .*asked for 500 bytes, it moved more",
        ),
        (reader.evidence("read", 500, asked=500, plausible=False), "asked for 500 bytes, it moved 500"),
        (reader.evidence("read", 5, asked=(7 << 32) - 2, plausible=False), "asked for -2 bytes, it moved 5"),
        (
            reader.evidence("read", 500, in_call=500, received=500),
            "it read 500 bytes, and the process has received 500",
        ),
    ],
)
def test_what_can_not_be_refutes_at_once(evidence: bytes, words: str) -> None:
    case = Case()
    assert case.take(reader.birth(), evidence, DATA_READ, reader.end(500, 0)) == []
    assert re.search(words, case.why)
    assert case.why.startswith("BoringSSL, /opt/b: its probes are withdrawn")
    assert "--at FILE:FUNCTION=ADDRESS" in case.why
    assert case.withdrawn[0][0] == {IMAGE}
    assert not case.trials.holding
    (suspect,) = case.trials.suspects
    assert suspect.left_out == 1


def test_a_connection_that_is_older_than_the_trace_may_have_had_bytes_waiting() -> None:
    case = Case()
    old = reader.but(flags=0)
    assert case.take(old.evidence("read", BUFFERED - 4000, received=0), DATA_READ) == []
    assert case.withdrawn == []
    case.take(old.evidence("read", 4100, received=0))
    assert f"it read {BUFFERED + 100} bytes" in case.why


def test_connections_inside_one_another_are_counted_by_themselves() -> None:
    """The inner one's record is the outer one's plaintext: together they read twice what was received."""
    case = Case()
    outer = reader.but(handle=0x6600)
    received = 0
    for _ in range(10):
        received += 500 + 2 * RECORD
        case.take(
            outer.evidence("read", 500 + RECORD, in_call=500 + 2 * RECORD, received=received),
            reader.evidence("read", 500, in_call=500 + 2 * RECORD, received=received),
        )
    assert case.withdrawn == []


def test_a_late_contradiction_withdraws_what_was_proven() -> None:
    case = Case()
    assert case.take(read(), DATA_READ) == [DATA_READ]
    assert case.take(reader.evidence("read", 20_000, received=10_000), DATA_READ) == []
    assert "it read 20500 bytes" in case.why
    assert case.take(DATA_WRITTEN, stranger.end(1, 1)) == [stranger.end(1, 1)]


def test_the_order_of_a_process_s_records_is_kept() -> None:
    case = Case()
    assert case.take(read(), DATA_READ) == [DATA_READ]
    other = stranger.data("read", 0, b"between")
    elsewhere = stranger.but(pid=PID + 1).data("read", 0, b"elsewhere")
    assert case.take(DATA_WRITTEN, other, elsewhere, DATA_READ, reader.exit()) == [elsewhere]
    assert case.take(write()) == [DATA_WRITTEN, other, DATA_READ, reader.exit()]


def test_at_the_end_the_totals_decide() -> None:
    fits, does_not_fit = Case(), Case()
    for case, sent in ((fits, 600), (does_not_fit, 510)):
        assert case.take(writer.evidence("write", 500), DATA_WRITTEN) == []
        case.traffic[PID] = 0, sent
    assert fits.finish() == [DATA_WRITTEN]
    assert does_not_fit.finish() == []
    assert (
        "SSL_write does not behave like it (it wrote 500 bytes, and the process has sent 510)"
        in does_not_fit.why
    )


def test_handshakes_without_data_are_not_shown() -> None:
    case = Case()
    case.take(reader.birth(), reader.handshake(), stranger.exit())
    assert case.finish() == [stranger.exit()]
    assert not case.trials.holding


def test_after_some_calls_no_more_evidence_is_needed() -> None:
    case = Case()
    for _ in range(CALLS_WATCHED):
        case.take(read(received=10**6))
    assert (IMAGE, READ) in case.ended
    assert (IMAGE, WRITE) not in case.ended


def test_what_nothing_speaks_for_is_decided_after_some_calls() -> None:
    case = Case()
    data = []
    for number in range(CALLS_WATCHED):
        data += case.take(reader.evidence("read", 10, received=10**6 + number), DATA_READ)
        assert len(data) in (0, CALLS_WATCHED), "they wait for the decision"
    assert len(data) == CALLS_WATCHED


def test_what_is_held_back_is_bounded() -> None:
    case = Case()
    large = writer.data("write", 0, b"z" * 16384, room=16384 + 300)
    case.take(writer.evidence("write", 16384))
    case.traffic[PID] = 0, 10**9
    count = HELD_BYTES // len(large) + 1
    taken = case.take(*[large] * count)
    assert len(taken) == count and not case.trials.holding


def test_without_numbers_of_images_all_of_them_are_one() -> None:
    case = Case(key=0)
    case.trials.add(0, IMAGE + 1, "BoringSSL, /opt/c", {READ: Trial("SSL_read", 0)})
    case.take(reader.but(image=0).evidence("read", 0, asked=5, plausible=False))
    assert case.withdrawn[0][0] == {IMAGE, IMAGE + 1}


def test_a_count_that_began_anew_refutes_nothing() -> None:
    """BPF forgets the processes that it has not seen for longest."""
    case = Case()
    case.take(read(moved=50_000, received=10**6))
    assert case.take(read(moved=500, received=522), DATA_READ) == [DATA_READ]
    assert case.withdrawn == []


def test_what_happens_in_other_processes_decides_nothing_here() -> None:
    case = Case()
    other = writer.but(pid=PID + 1)
    assert case.take(other.evidence("write", 500), other.data("write", 0, HELLO, room=1024)) == []
    for number in range(CALLS_WATCHED):
        case.take(reader.evidence("read", 10, received=10**6 + number))
    assert case.take(DATA_WRITTEN) == [], "the writer was never called in this process with evidence"
    case.traffic[PID + 1] = 0, 100
    assert case.finish() == []
    assert "it wrote 500 bytes, and the process has sent 100" in case.why


def test_data_without_evidence_is_left_out_and_counted() -> None:
    """The ring had no room for the evidence."""
    case = Case()
    case.take(DATA_WRITTEN, DATA_WRITTEN, stranger.exit())
    assert case.finish() == [stranger.exit()]
    (suspect,) = case.trials.suspects
    assert (suspect.undecided, suspect.left_out, suspect.refuted) == (2, 2, None)


def test_functions_with_symbols_beside_it_are_believed() -> None:
    """SSL_write has a symbol; only the reader was found by signature."""
    case = Case()
    trials = Trials(case._withdraw, lambda pid: (0, 0))
    trials.add(IMAGE, IMAGE, "BoringSSL, /opt/b", {READ: Trial("SSL_peek", 0)}, trusted=True)
    passing = [writer.birth(), writer.handshake(), write(), DATA_WRITTEN]
    taken = [out for raw in passing for out in trials.take(raw)]
    assert taken == [passing[0], passing[1], DATA_WRITTEN]
    assert list(trials.take(DATA_READ)) == []
