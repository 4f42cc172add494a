"""Probes that were found by signature prove themselves before what they capture is shown.

A function is on trial until one of its calls agrees with what the process's sockets moved: records of TLS are
a little longer than their plaintext. Meanwhile its records are held back, and with them everything that
follows of the same process. A call that can't be true (its handle, buffer or lengths are none, more was read
than the process has received) refutes it: then all probes on that library in that file are withdrawn, and
what they captured is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tlstap.discovery.given import OPTION
from tlstap.tracing import layout
from tlstap.tracing.layout import DIRECTIONS, EventKind, Flag

SMALLEST_OVERHEAD = 21
"""Bytes that the shortest record adds to its plaintext: a header of 5 and a tag of 16."""
LARGEST_RECORD = 16384
"""Bytes of plaintext in one record, at most."""
LARGEST_SHARE = 8
"""Records of few bytes may add up to an eighth of the plaintext (of 200 bytes or more each)."""
BESIDES = 4096
"""Bytes of a handshake's end, tickets or alerts that may go with a call."""
BUFFERED = 1 << 20
"""Bytes that a process may have received, and not yet read, before it was first seen."""

CALLS_WATCHED = 64
"""After so many calls a function that was not refuted need not give evidence any more; one for which nothing
spoke either is decided upon by the totals of its process."""
HELD_BYTES = 8 << 20
"""Of one process; beyond, its functions are decided upon at once."""

_READ = DIRECTIONS.index("read")


@dataclass(slots=True, eq=False)
class Trial:
    """One function that moves data."""

    function: str
    direction: int
    calls: int = 0
    proven: bool = False


@dataclass(slots=True, eq=False)
class Suspect:
    """A library in a file (or, where records don't tell files apart, in several), with its functions on trial
    by the index of the probe on them.

    `key`: the image number that its records carry. `trusted`: other functions of it that move data have
    symbols. `refuted`: why its probes were withdrawn. `left_out`: records with data that were not passed on,
    `undecided`: those of them for which nothing spoke to the end.
    """

    key: int
    where: str
    trusted: bool = False
    images: set[int] = field(default_factory=set)
    trials: dict[int, Trial] = field(default_factory=dict)
    refuted: str | None = None
    left_out: int = 0
    undecided: int = 0

    @property
    def proven(self) -> bool:
        """Whether any of its functions is right; then its handles are handles."""
        return self.trusted or any(trial.proven for trial in self.trials.values())


@dataclass(slots=True)
class _Account:
    """What was moved on one connection, by direction, and what sockets moved during the calls."""

    moved: list[int] = field(default_factory=lambda: [0, 0])
    in_calls: list[int] = field(default_factory=lambda: [0, 0])


@dataclass(slots=True)
class _Watched:
    """A process: what its sockets had moved at the last call, by direction, and the bytes of the last write,
    if nothing was sent during it."""

    seen: list[int] = field(default_factory=lambda: [0, 0])
    unsent: int = 0


Withdraw = Callable[[Suspect, str], None]
"""Takes the probes of a suspect away; the text says why, as a whole sentence."""


class Trials:
    """Sits between the ring and those who believe its records.

    `add` may be called from another thread than the rest.

    :param traffic: (received, sent) of a process, in bytes.
    :param end: (image, probe): its calls need no longer give evidence.
    """

    def __init__(
        self,
        withdraw: Withdraw,
        traffic: Callable[[int], tuple[int, int]] = lambda tgid: (0, 0),
        end: Callable[[int, int], None] = lambda image, probe: None,
    ) -> None:
        self._withdraw = withdraw
        self._traffic = traffic
        self._end = end
        self._suspects: dict[int, Suspect] = {}
        self._accounts: dict[tuple[int, int, int, int], _Account] = {}
        self._watched: dict[tuple[int, int], _Watched] = {}
        self._held: dict[int, deque[bytes]] = {}
        self._sizes: dict[int, int] = {}

    def add(
        self, key: int, image: int, where: str, functions: Mapping[int, Trial], *, trusted: bool = False
    ) -> None:
        """Put functions on trial.

        :param key: the image number that their records carry.
        :param image: the image's own number.
        :param where: the library and the file, for messages.
        :param functions: by the index of the probe.
        :param trusted: other functions of the library that move data have symbols.
        """
        suspect = self._suspects.setdefault(key, Suspect(key, where))
        suspect.images.add(image)
        suspect.trusted |= trusted
        for probe, trial in functions.items():
            suspect.trials.setdefault(probe, trial)

    @property
    def holding(self) -> bool:
        """Whether records are held back."""
        return bool(self._held)

    @property
    def suspects(self) -> list[Suspect]:
        """Every library that was put on trial."""
        return list(self._suspects.values())

    def take(self, raw: bytes) -> Iterator[bytes]:
        """A record of the ring comes in, records that can be believed go out, in the same order."""
        if not self._suspects:
            yield raw
            return
        kind = raw[layout.KIND_OFFSET]
        tgid = layout.tgid_of(raw)
        if kind == EventKind.EVIDENCE:
            self._judge(raw)
            yield from self._release(tgid)
        elif tgid in self._held:
            self._hold(tgid, raw)
            yield from self._release(tgid)
        elif (decision := self._believe(raw)) is None:
            self._hold(tgid, raw)
        elif decision:
            yield raw

    def look_again(self) -> Iterator[bytes]:
        """What was written may have been sent meanwhile."""
        for tgid in list(self._held):
            for suspect in self._suspects.values():
                self._look_at_sent(suspect, tgid, self._traffic(tgid)[1])
            yield from self._release(tgid)

    def finish(self) -> Iterator[bytes]:
        """Nothing more comes in: what is still undecided is decided by the totals."""
        for tgid in list(self._held):
            for raw in self._held[tgid]:
                if self._believe(raw) is None and (suspect := self._suspects.get(_image_of(raw))):
                    self._decide(suspect, tgid)
            for raw in self._held.pop(tgid, ()):
                if self._believe(raw):
                    yield raw
                else:
                    self._leave_out(raw)
        self._sizes.clear()

    def _leave_out(self, raw: bytes) -> None:
        """What is still open at the end: handshakes without data, for instance."""
        suspect = self._suspects.get(_image_of(raw))
        if suspect is not None and suspect.refuted is None and raw[layout.KIND_OFFSET] == EventKind.DATA:
            suspect.left_out += 1
            suspect.undecided += 1

    # ---- holding back ----

    def _believe(self, raw: bytes) -> bool | None:
        """Whether a record can be believed; None while that is open."""
        kind = raw[layout.KIND_OFFSET]
        if kind in (EventKind.EXEC, EventKind.EXIT):
            return True
        suspect = self._suspects.get(_image_of(raw))
        if suspect is None:
            return True
        if suspect.refuted is not None:
            suspect.left_out += kind == EventKind.DATA
            return False
        trial = suspect.trials.get(_probe_of(raw))
        proven = trial.proven if trial is not None and kind == EventKind.DATA else suspect.proven
        return True if proven else None

    def _hold(self, tgid: int, raw: bytes) -> None:
        self._held.setdefault(tgid, deque()).append(raw)
        self._sizes[tgid] = self._sizes.get(tgid, 0) + len(raw)
        if self._sizes[tgid] > HELD_BYTES:
            for suspect in self._suspects.values():
                self._decide(suspect, tgid)

    def _release(self, tgid: int) -> Iterator[bytes]:
        held = self._held.get(tgid)
        while held:
            decision = self._believe(held[0])
            if decision is None:
                return
            raw = held.popleft()
            self._sizes[tgid] -= len(raw)
            if decision:
                yield raw
        if held is not None:
            del self._held[tgid]
            del self._sizes[tgid]

    # ---- judging ----

    def _judge(self, raw: bytes) -> None:
        evidence = layout.EVIDENCE.unpack_from(raw)
        handle, generation, tgid, probe, image, flags = (evidence[index] for index in (1, 2, 3, 6, 7, 9))
        asked, moved, in_call, in_process = evidence[13], evidence[14], evidence[15:17], evidence[17:19]
        direction, plausible = evidence[19:]
        suspect = self._suspects.get(image)
        trial = suspect.trials.get(probe) if suspect else None
        if suspect is None or trial is None or suspect.refuted is not None:
            return
        trial.calls += 1
        if not plausible:
            self._refute(suspect, trial, f"asked for {_signed(asked)} bytes, it moved {moved or 'more'}")
            return
        account = self._accounts.setdefault((image, tgid, handle, generation), _Account())
        watched = self._watched_of(suspect, tgid)
        self._look_at_sent(suspect, tgid, in_process[1])
        if in_process[0] < watched.seen[0] or in_process[1] < watched.seen[1]:
            # BPF has begun anew with this process, having seen too many others meanwhile.
            account, watched.seen, watched.unsent = _Account(), [0, 0], 0
            self._accounts[image, tgid, handle, generation] = account
        account.moved[direction] += moved
        account.in_calls[direction] += in_call[direction]
        before = 0 if flags & Flag.FROM_START else BUFFERED
        if direction == _READ and encrypted(account.moved[_READ]) > in_process[_READ] + before:
            reason = f"it read {account.moved[_READ]} bytes, and the process has received {in_process[_READ]}"
            self._refute(suspect, trial, reason)
            return
        used = in_call[direction]
        if not used and direction == _READ:  # from a buffer of the program's, filled since the last call
            used = in_process[_READ] - watched.seen[_READ]
        if agrees(moved, used) or _agree_together(account, direction):
            trial.proven = True
        watched.unsent = moved if direction != _READ and not in_call[1] else 0
        watched.seen[:] = in_process
        if trial.calls >= CALLS_WATCHED:
            self._decide(suspect, tgid)
            for number in {image, *suspect.images}:
                self._end(number, probe)

    def _look_at_sent(self, suspect: Suspect, tgid: int, sent: int) -> None:
        """What was written into a buffer of the program's is sent a moment later."""
        watched = self._watched_of(suspect, tgid)
        if watched.unsent and agrees(watched.unsent, sent - watched.seen[1]):
            watched.unsent = 0
            for trial in suspect.trials.values():
                if trial.direction != _READ and trial.calls:
                    trial.proven = True

    def _decide(self, suspect: Suspect, tgid: int) -> None:
        """Nothing has spoken for or against a function: does what it moved on each connection fit into what
        the process moved altogether?"""
        # What was read must have been received before; what was written may have been sent later.
        totals = (self._watched_of(suspect, tgid).seen[_READ], self._traffic(tgid)[1])
        for trial in suspect.trials.values():
            if suspect.refuted is not None or trial.proven or not trial.calls:
                continue
            direction = trial.direction
            most = max((account.moved[direction] for account in self._accounts_of(suspect, tgid)), default=0)
            if not most:
                continue  # it was called in other processes
            if encrypted(most) <= totals[direction]:
                trial.proven = True
                continue
            what = ("read", "received") if direction == _READ else ("wrote", "sent")
            reason = f"it {what[0]} {most} bytes, and the process has {what[1]} {totals[direction]}"
            self._refute(suspect, trial, reason)

    def _watched_of(self, suspect: Suspect, tgid: int) -> _Watched:
        return self._watched.setdefault((suspect.key, tgid), _Watched())

    def _accounts_of(self, suspect: Suspect, tgid: int) -> Iterator[_Account]:
        for (key, process, _, _), account in self._accounts.items():
            if (key, process) == (suspect.key, tgid):
                yield account

    def _refute(self, suspect: Suspect, trial: Trial, reason: str) -> None:
        suspect.refuted = reason
        self._withdraw(
            suspect,
            f"{suspect.where}: its probes are withdrawn and nothing of it is shown, because {trial.function} "
            f"does not behave like it ({reason}); {OPTION} gives the right address, if you know it",
        )


def encrypted(plaintext: int) -> int:
    """Bytes that so much plaintext has as records, at least."""
    return plaintext + -(-plaintext // LARGEST_RECORD) * SMALLEST_OVERHEAD


def agrees(plaintext: int, on_sockets: int) -> bool:
    """Whether so many bytes on sockets are records of so much plaintext, and little else."""
    most = plaintext + plaintext // LARGEST_SHARE + BESIDES
    return plaintext > 0 and encrypted(plaintext) <= on_sockets <= most


def _agree_together(account: _Account, direction: int) -> bool:
    """Several calls may take one record apart: then what they moved together counts, if it is much."""
    moved = account.moved[direction]
    most = moved + moved // LARGEST_SHARE + LARGEST_RECORD + BESIDES
    return moved > LARGEST_RECORD and encrypted(moved) <= account.in_calls[direction] <= most


def _signed(number: int) -> int:
    """The C int in a register."""
    return ((number & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def _image_of(raw: bytes) -> int:
    return int.from_bytes(raw[layout.IMAGE_OFFSET : layout.IMAGE_OFFSET + 2], "little")


def _probe_of(raw: bytes) -> int:
    return int.from_bytes(raw[layout.PROBE_OFFSET : layout.PROBE_OFFSET + 2], "little")
