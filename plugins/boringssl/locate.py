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
two words (a pointer and a length) that the other only reads. What was inlined into a function of the program
reports the same errors, but from other arguments than the function's own; what was inlined into another of
the library, together with more errors. Each step has one outcome, or refuses.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from tlstap.discovery.constants import OWN_ARGUMENTS
from tlstap.discovery.signature import Signature
from tlstap.errors import NotLocatedError
from tlstap.location import Located
from tlstap.plugins.boringssl.memory import WORD, words
from tlstap.plugins.boringssl.reporters import Reporters, shown

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

# Reasons of include/openssl/ssl.h and err.h; their numbers have never changed.
SHOULD_NOT_HAVE_BEEN_CALLED = 66
CONNECTION_TYPE_NOT_SET = 134
NULL_SSL_CTX = 185
INVALID_SERVER_NAME = 213
SSL_HANDSHAKE_FAILURE = 215
UNINITIALIZED = 226

MAX_LOOKERS = 16
"""Functions that SSL_peek was inlined into; each is searched for in all of the code."""

_FIRST, _SECOND, _THIRD, *_ = OWN_ARGUMENTS


def find(image: ElfImage, function: str) -> Located | int:
    """A function by its symbol, else by its signature.

    SSL_peek is meant only where SSL_read was inlined into functions that call it, which no symbol tells.

    :raises NotLocatedError: it is not found without doubt; the message says at which step.
    """
    symbol = None if function == "SSL_peek" else image.symbols([function]).get(function)
    return symbol.address if symbol else SIGNATURE.locate(image, function)


class _Model:
    """What the lines and reasons say.

    :raises NotLocatedError: they are not in the order of the source.
    """

    def __init__(self, image: ElfImage) -> None:
        self._reporters = Reporters(image)
        self._sites = self._reporters.sites
        failed = self._sites.lines(SSL_HANDSHAKE_FAILURE)
        if len(failed) != 2:
            raise NotLocatedError(f"{len(failed)} lines report a failed handshake, not 2")
        self._read_failed, self._write_failed = failed
        self._read_begins = self._last(UNINITIALIZED, 0, self._read_failed, "reading")
        self._write_begins = self._last(UNINITIALIZED, self._read_failed, self._write_failed, "writing")

    # ---- the functions ----

    def write(self) -> Located:
        """SSL_write: hands its buffer on to a method of the connection."""
        holders = self._sites.holders(self._write_failed) & self._sites.holders(self._write_begins)
        sending = {holder for holder in holders if self._sends(holder)}
        if holders - sending:
            raise NotLocatedError(
                f"it was inlined into functions with other arguments, or its own can't be followed "
                f"({shown(holders - sending)})"
            )
        return self._reporters.found(self._reporters.innermost(sending, "write"))

    def handshake(self) -> Located:
        """SSL_do_handshake: inlined into SSL_connect and SSL_accept, it is the one that others call."""
        (line, *others) = self._sites.lines(CONNECTION_TYPE_NOT_SET) or [0]
        if others or not 0 < line < self._read_begins:
            raise NotLocatedError("not exactly one line, before those of reading, reports a missing role")
        callers = [*self._readers(), self.write().address]
        called = {
            holder
            for holder in self._sites.holders(line)
            if all(self._reporters.may_pass(caller, holder) for caller in callers)
        }
        return self._reporters.found(
            self._reporters.only(called, "perform the handshake for those that read and write")
        )

    def new(self) -> Located:
        """SSL_new: looks at its argument before it does anything else."""
        found = self._by_one_line(NULL_SSL_CTX, 0, self._read_begins)
        if not self._sites.checks_first(found.address, NULL_SSL_CTX):
            raise NotLocatedError(f"what reports a missing context ({found.address:#x}) does more before")
        return found

    def server_name(self) -> Located:
        """SSL_set_tlsext_host_name: passes the name, its second argument, on as the first."""
        found = self._by_one_line(INVALID_SERVER_NAME, self._write_failed, None)
        if not self._reporters.hands_on(found.address, _SECOND):
            raise NotLocatedError("what reports an invalid server name was not called with it")
        return found

    def read(self) -> Located:
        """SSL_read."""
        peek, takers, itself = self._taking
        if itself is None:
            what = f"it was inlined into {len(takers)} functions" if takers else "nothing takes what was read"
            raise NotLocatedError(what)
        others = {
            taker
            for taker in takers - {itself}
            if peek is None or not self._reporters.code(taker).calls_of(peek)
        }
        if others:
            raise NotLocatedError(f"it was inlined into other functions ({shown(others)}), and SSL_peek too")
        return self._reporters.found(itself)

    def peek(self) -> Located:
        """SSL_peek, for the functions that SSL_read was inlined into."""
        peek, takers, itself = self._taking
        inlined = takers - {itself}
        if not inlined:
            raise NotLocatedError("SSL_read was not inlined into any other function, so that one is probed")
        if peek is None:
            raise NotLocatedError("SSL_read was inlined together with it")
        returns = []
        for code in map(self._reporters.code, sorted(inlined)):
            calls = code.calls_of(peek)
            if not calls:
                raise NotLocatedError("SSL_read was inlined together with it into some functions")
            returns += [code.instructions[call].next for call in calls]
        if not self._looks(peek):
            raise NotLocatedError(f"what SSL_read calls ({peek:#x}) does not look as SSL_peek does")
        self._reporters.found(peek)
        return Located(peek, by_signature=True, return_addresses=tuple(sorted(returns)))

    # ---- reading ----

    def _readers(self) -> set[int]:
        """ssl_read_impl, or what it was inlined into."""
        readers = self._sites.holders(self._read_failed) & self._sites.holders(self._read_begins)
        if not readers:
            raise NotLocatedError("no function holds both lines that reading reports errors with")
        return readers

    @cached_property
    def _taking(self) -> tuple[int | None, set[int], int | None]:
        """(SSL_peek, if it exists by itself; the functions that take what was read away; the one of them that
        is SSL_read)."""
        candidates = self._peekers()
        takers = {one for one in candidates if self._takes(one, self._read_words(one))}
        lookers = candidates - takers
        if len(lookers) > MAX_LOOKERS:
            raise NotLocatedError(f"{len(lookers)} functions look at what was read")
        called = set()
        for looker in lookers:
            words_of_it = self._read_words(looker)
            callers = {
                one for one in self._reporters.callers(looker) - lookers if self._takes(one, words_of_it)
            }
            if callers:
                called.add(looker)
                takers |= callers
        if called:
            peek = self._reporters.only(
                called, "look at what was read, and are called by others that take it"
            )
        else:
            peek = None
        own = {taker for taker in takers if self._is_read(taker, peek)}
        innermost = {one for one in own if self._reporters.is_inside(one, own - {one})}
        return peek, takers, innermost.pop() if len(innermost) == 1 else None

    def _peekers(self) -> set[int]:
        """The functions that read and report what SSL_peek reports; before that had anything to report, those
        that call ssl_read_impl and are not SSL_shutdown."""
        readers = self._readers()
        reporting = {
            holder
            for line in self._sites.lines(SHOULD_NOT_HAVE_BEEN_CALLED)
            if self._read_failed < line < self._write_begins
            for holder in self._sites.holders(line)
            if holder in readers or any(self._reporters.code(holder).calls_of(reader) for reader in readers)
        }
        if reporting:
            return reporting
        (reader, *others) = sorted(readers)
        put_into_others = bool(others) or self._looks(reader)
        found = (readers if put_into_others else self._reporters.callers(reader)) - self._shutdown()
        if not found:
            raise NotLocatedError("nothing calls the function that reads")
        return found

    def _shutdown(self) -> set[int]:
        later = [line for line in self._sites.lines(UNINITIALIZED) if line > self._write_failed]
        return {holder for line in later for holder in self._sites.holders(line)}

    def _read_words(self, function: int) -> frozenset[int]:
        """Where pairs of words begin that a function reads: pointers with lengths, perhaps."""
        read = words(self._reporters.code(function)).read
        return frozenset(one for one in read if one + WORD in read)

    def _takes(self, function: int, pairs: frozenset[int]) -> bool:
        written = words(self._reporters.code(function)).written
        return any(one in written and one + WORD in written for one in pairs)

    def _is_read(self, taker: int, peek: int | None) -> bool:
        """Whether it is SSL_read itself, or does as that does: it hands on its own arguments."""
        if peek is not None and self._reporters.code(taker).calls_of(peek):
            return self._reporters.passes(taker, peek, 3)
        return self._looks(taker)

    def _looks(self, function: int) -> bool:
        """Whether it reads, once, and copies what was read as its own arguments say."""
        readers = self._readers()
        if function in readers:
            reads = self._reporters.passes(function, self.handshake().address, 1)
        else:
            reads = any(
                self._reporters.passes(function, reader, 1)
                and len(self._reporters.code(function).calls_of(reader)) == 1
                for reader in readers
            )
        return reads and self._reporters.hands_on(function, _SECOND)

    # ---- writing ----

    def _sends(self, function: int) -> bool:
        """Whether it passes its own arguments on: the connection first, then where to say something, then the
        buffer, then the length, as far as that can be told: it may have waited on the stack."""
        return any(
            passed[0] == _FIRST
            and any(buffer == _SECOND and length in (_THIRD, None) for buffer, length in pairwise(passed[2:]))
            for passed in self._reporters.passed(function)
        )

    # ---- means ----

    def _by_one_line(self, reason: int, after: int, before: int | None) -> Located:
        """The function that alone reports something, and nothing that others on the wrong side report."""
        lines = self._sites.lines(reason)
        if len(lines) != 1 or lines[0] <= after or (before is not None and lines[0] >= before):
            raise NotLocatedError(
                f"{len(lines)} lines report the reason {reason} that one in its place should"
            )
        function = self._reporters.only(self._sites.holders(lines[0]), f"report the reason {reason}")
        held = self._sites.lines_in(function)
        if any(line <= after or (before is not None and line >= before) for line in held):
            raise NotLocatedError(f"it was inlined into another function ({function:#x})")
        code = self._reporters.code(function)
        if any(code.calls_of(one) for one in self._known() - {function}):
            raise NotLocatedError(f"it was inlined into another function ({function:#x})")
        return self._reporters.found(function)

    def _known(self) -> set[int]:
        """Functions that only a program calls, or that read and write."""
        lines = {self._read_failed, self._write_failed}
        lines.update(self._sites.lines(NULL_SSL_CTX), self._sites.lines(CONNECTION_TYPE_NOT_SET))
        return {holder for line in lines for holder in self._sites.holders(line)}

    def _last(self, reason: int, after: int, before: int, what: str) -> int:
        lines = [line for line in self._sites.lines(reason) if after < line < before]
        if not lines:
            raise NotLocatedError(f"no line reports that {what} was not initialised")
        return lines[-1]


SIGNATURE = Signature(
    _Model,
    {
        "SSL_read": _Model.read,
        "SSL_peek": _Model.peek,
        "SSL_write": _Model.write,
        "SSL_do_handshake": _Model.handshake,
        "SSL_new": _Model.new,
        "SSL_set_tlsext_host_name": _Model.server_name,
    },
)
