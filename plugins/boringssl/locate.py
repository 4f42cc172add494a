"""Finds BoringSSL's functions in a file without symbols, by the errors that they report.

In ssl_lib.cc, in the order of the source (the reasons in brackets):

    SSL_new            [no context]
    SSL_do_handshake   [neither client nor server]
    ssl_read_impl      [not initialised] [handshake failed]
    SSL_read           takes what SSL_peek finds away
    SSL_peek           [with QUIC: should not have been called]
    SSL_write          [likewise] [not initialised] [handshake failed]
    SSL_shutdown       [not initialised]
    SSL_set_tlsext_host_name [invalid name]

ssl_read_impl and SSL_write are the only ones whose handshake can fail, SSL_read calls SSL_peek, which calls
ssl_read_impl; each of the calls may be inlined. SSL_read is told from SSL_peek by what it does: it writes the
two words (a pointer and a length) that the other only reads. Each step has one outcome, or refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tlstap.discovery.call_arguments import OWN_ARGUMENTS, Code, read_code
from tlstap.discovery.functions import Functions
from tlstap.errors import ElfError, NotLocatedError
from tlstap.location import Located
from tlstap.plugins.boringssl.error_sites import ErrorSites
from tlstap.plugins.boringssl.memory import WORD, words

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

# Reasons of include/openssl/ssl.h and err.h; their numbers have never changed.
SHOULD_NOT_HAVE_BEEN_CALLED = 66
CONNECTION_TYPE_NOT_SET = 134
NULL_SSL_CTX = 185
INVALID_SERVER_NAME = 213
SSL_HANDSHAKE_FAILURE = 215
UNINITIALIZED = 226

_Answer = Located | NotLocatedError

_answers: WeakKeyDictionary[ElfImage, Mapping[str, _Answer]] = WeakKeyDictionary()


def find(image: ElfImage, function: str) -> Located | int:
    """A function by its symbol, else by its signature.

    SSL_peek is meant only where SSL_read was inlined into functions that call it, which no symbol tells.

    :raises NotLocatedError: it is not found without doubt; the message says at which step.
    """
    symbol = None if function == "SSL_peek" else image.symbols([function]).get(function)
    return symbol.address if symbol else locate(image, function)


def locate(image: ElfImage, function: str) -> Located:
    """A function by its signature alone.

    :raises NotLocatedError: it is not found without doubt; the message says at which step.
    """
    if image not in _answers:
        _answers[image] = _locate_all(image)
    answer = _answers[image].get(function) or NotLocatedError("no signature is known for it")
    if isinstance(answer, NotLocatedError):
        raise answer
    return answer


def _locate_all(image: ElfImage) -> dict[str, _Answer]:
    try:
        model = _Model(image)
    except (NotLocatedError, ElfError) as error:
        reason = NotLocatedError(str(error))
        return dict.fromkeys(_STEPS, reason)
    answers: dict[str, _Answer] = {}
    for function, step in _STEPS.items():
        try:
            answers[function] = step(model)
        except (NotLocatedError, ElfError) as error:
            answers[function] = NotLocatedError(str(error))
    return answers


class _Model:
    """What the lines and reasons say.

    :raises NotLocatedError: they are not in the order of the source.
    """

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._sites = ErrorSites(image)
        self._codes: dict[int, Code] = dict(self._sites.code)
        failed = self._sites.lines(SSL_HANDSHAKE_FAILURE)
        if len(failed) != 2:
            raise NotLocatedError(f"{len(failed)} lines report a failed handshake, not 2")
        self._read_failed, self._write_failed = failed
        self._read_begins = self._last(UNINITIALIZED, 0, self._read_failed, "reading")
        self._write_begins = self._last(UNINITIALIZED, self._read_failed, self._write_failed, "writing")

    # ---- the functions ----

    def write(self) -> Located:
        """SSL_write."""
        holders = self._sites.holders(self._write_failed) & self._sites.holders(self._write_begins)
        return Located(self._only(holders, "write"), by_signature=True)

    def handshake(self) -> Located:
        """SSL_do_handshake: inlined into SSL_connect and SSL_accept, it is the one that others call."""
        (line, *others) = self._sites.lines(CONNECTION_TYPE_NOT_SET) or [0]
        if others or not 0 < line < self._read_begins:
            raise NotLocatedError("not exactly one line, before those of reading, reports a missing role")
        holders = self._sites.holders(line)
        callers = [*self._readers(), self.write().address]
        called = {holder for holder in holders if all(self._passes(caller, holder, 1) for caller in callers)}
        return Located(self._only(called, "perform the handshake for those that read and write"), True)

    def new(self) -> Located:
        """SSL_new."""
        return self._by_one_line(NULL_SSL_CTX, 0, self._read_begins)

    def server_name(self) -> Located:
        """SSL_set_tlsext_host_name."""
        return self._by_one_line(INVALID_SERVER_NAME, self._write_failed, None)

    def read(self) -> Located:
        """SSL_read."""
        peek, takers = self._takers()
        own = [taker for taker in takers if self._is_read(taker, peek)]
        if not own and takers:
            raise NotLocatedError(f"it was inlined into {len(takers)} functions")
        return Located(self._only(set(own), "take what was read"), by_signature=True)

    def peek(self) -> Located:
        """SSL_peek, for the functions that SSL_read was inlined into."""
        peek, takers = self._takers()
        inlined = [taker for taker in takers if not self._is_read(taker, peek)]
        if not inlined:
            raise NotLocatedError("SSL_read was not inlined into any other function, so that one is probed")
        if peek is None:
            raise NotLocatedError("SSL_read was inlined together with it")
        returns = []
        for code in map(self._code, inlined):
            calls = code.calls_of(peek)
            if not calls:
                raise NotLocatedError("SSL_read was inlined together with it into some functions")
            returns += [code.instructions[call].next for call in calls]
        return Located(peek, by_signature=True, return_addresses=tuple(sorted(returns)))

    # ---- reading ----

    def _readers(self) -> set[int]:
        """ssl_read_impl, or what it was inlined into."""
        readers = self._sites.holders(self._read_failed) & self._sites.holders(self._read_begins)
        if not readers:
            raise NotLocatedError("no function holds both lines that reading reports errors with")
        return readers

    def _takers(self) -> tuple[int | None, list[int]]:
        """(SSL_peek, if it exists by itself; the functions that take what was read away)."""
        candidates = self._peekers()
        taking = {one for one in candidates if self._takes(one, self._read_words(one))}
        looking = candidates - taking
        if not looking:
            return None, sorted(taking)
        peek = self._only(looking, "look at what was read")
        looked_at = self._read_words(peek)
        taking.update(one for one in self._callers(peek) - {peek} if self._takes(one, looked_at))
        return peek, sorted(taking)

    def _peekers(self) -> set[int]:
        """The functions that report what SSL_peek reports; before that had anything to report, those that
        call ssl_read_impl and are not SSL_shutdown."""
        writer = self.write().address
        lines = [
            line
            for line in self._sites.lines(SHOULD_NOT_HAVE_BEEN_CALLED)
            if self._read_failed < line < self._write_begins and self._sites.holders(line) != {writer}
        ]
        if len(lines) > 1:
            raise NotLocatedError(f"{len(lines)} lines report what only SSL_peek should")
        if lines:
            return self._sites.holders(lines[0])
        (reader, *others) = sorted(self._readers())
        if others:
            return {reader, *others} - self._shutdown()
        found = self._callers(reader) - self._shutdown()
        if not found:
            raise NotLocatedError("nothing calls the function that reads")
        return found

    def _shutdown(self) -> set[int]:
        later = [line for line in self._sites.lines(UNINITIALIZED) if line > self._write_failed]
        return {holder for line in later for holder in self._sites.holders(line)}

    def _read_words(self, function: int) -> frozenset[int]:
        """Where pairs of words begin that a function reads: pointers with lengths, perhaps."""
        read = words(self._code(function)).read
        return frozenset(one for one in read if one + WORD in read)

    def _takes(self, function: int, pairs: frozenset[int]) -> bool:
        written = words(self._code(function)).written
        return any(one in written and one + WORD in written for one in pairs)

    def _is_read(self, taker: int, peek: int | None) -> bool:
        """Whether it is SSL_read itself: it hands on its own arguments."""
        if peek is not None and self._code(taker).calls_of(peek):
            return self._passes(taker, peek, 3)
        readers = self._readers()
        if taker in readers:
            return self._passes(taker, self.handshake().address, 1)
        return any(self._passes(taker, reader, 1) for reader in readers)

    # ---- means ----

    def _by_one_line(self, reason: int, after: int, before: int | None) -> Located:
        lines = self._sites.lines(reason)
        if len(lines) != 1 or lines[0] <= after or (before is not None and lines[0] >= before):
            raise NotLocatedError(
                f"{len(lines)} lines report the reason {reason} that one in its place should"
            )
        return Located(self._only(self._sites.holders(lines[0]), f"report the reason {reason}"), True)

    def _last(self, reason: int, after: int, before: int, what: str) -> int:
        lines = [line for line in self._sites.lines(reason) if after < line < before]
        if not lines:
            raise NotLocatedError(f"no line reports that {what} was not initialised")
        return lines[-1]

    def _only(self, functions: set[int], what: str) -> int:
        if len(functions) != 1:
            found = ", ".join(f"{one:#x}" for one in sorted(functions)[:4]) or "none"
            raise NotLocatedError(f"{len(functions)} functions {what} ({found}), not 1")
        return next(iter(functions))

    def _callers(self, function: int) -> set[int]:
        """The functions that call one."""
        calls = self._sites.functions.callers(function)
        around = Functions(self._image, calls, self._image.progress) if calls else self._sites.functions
        callers = set()
        for call in calls:
            owner = around.owner(call)
            if owner is None:
                raise NotLocatedError(f"which function calls {function:#x} at {call:#x} can't be told")
            callers.add(owner.start)
            if owner.start not in self._codes:
                self._codes[owner.start] = read_code(self._image, around, owner)
        return callers

    def _passes(self, caller: int, callee: int, count: int) -> bool:
        """Whether a function calls another with its own first arguments."""
        own = OWN_ARGUMENTS[:count]
        return any(
            call.target == callee and call.arguments[:count] == own for call in self._code(caller).calls
        )

    def _code(self, function: int) -> Code:
        """The code of a function that reports errors, or calls one that does."""
        return self._codes[function]


_STEPS = {
    "SSL_read": _Model.read,
    "SSL_peek": _Model.peek,
    "SSL_write": _Model.write,
    "SSL_do_handshake": _Model.handshake,
    "SSL_new": _Model.new,
    "SSL_set_tlsext_host_name": _Model.server_name,
}
