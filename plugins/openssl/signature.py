"""Finds OpenSSL's functions in a file without symbols, by the errors that they report.

    ssl_read_internal    (ssl, buffer, length, *moved)
    SSL_read             (ssl, buffer, length), calls it
    ssl_write_internal   (ssl, buffer, length, *moved), from 3.3 on with flags before *moved
    SSL_write            (ssl, buffer, length), calls it

Each reports errors by its own name, and hands its arguments on to a method of the connection, which shows
where they are. Up to 1.1.0 SSL_read and SSL_write do it all.

The compiler may have put the internal functions into those that call them. Then the errors are reported in
several places, and the exported functions are looked for: SSL_read and SSL_write still report an error of
their own. SSL_read_ex, SSL_write_ex and SSL_write_ex2 never do; they are what is left, and return 0 where the
internal function returns -1. Each step has one outcome, or refuses.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from tlstap.discovery.call_arguments import Code
from tlstap.discovery.constants import OWN_ARGUMENTS
from tlstap.discovery.signature import Signature
from tlstap.errors import NotLocatedError
from tlstap.plugins.openssl.error_sites import ErrorSites

READ = "ssl_read_internal"
WRITE = "ssl_write_internal"
WRITE_WITH_FLAGS = "ssl_write_internal_flags"
"""Not its name: what ssl_write_internal is called here where it takes flags."""

_SOURCES = ("ssl_lib.c", "s3_lib.c")
_SSL, _BUFFER, _LENGTH, _FOURTH, _FIFTH, _ = OWN_ARGUMENTS
_MOVED = {_FOURTH: 4, _FIFTH: 5}
_MINUS_ONE = re.compile(r"\w+, (#?-1|0xffffffff)")


class _Model:
    """What the places tell. Functions are meant by their entries' addresses."""

    def __init__(self, sites: ErrorSites) -> None:
        self._sites = sites

    def internal(self, name: str, moved: int) -> int:
        """An internal function, if the argument of this number is where it stores how much it moved."""
        holder = self._holder(name)
        inlined_into = {one for one in self._names(holder) if one.startswith("SSL_")}
        if inlined_into:
            raise NotLocatedError(f"the compiler has put it into {', '.join(sorted(inlined_into))}")
        found = self._layouts(holder)
        if len(found) != 1:
            raise NotLocatedError("its code does not show without doubt which arguments it hands on")
        if found != {moved}:
            raise NotLocatedError(f"it stores how much it moved by argument {found.pop()}, not {moved}")
        return holder

    def write_internal(self, name: str, moved: int) -> int:
        """The same for ssl_write_internal; SSL_write passes 0 for the flags, where there are any."""
        holder = self.internal(name, moved)
        flags = {
            call.arguments[3]
            for caller in self._sites.holders("SSL_write")
            for call in self._sites.code[caller].calls
            if call.target == holder
        }
        if (flags - {0, None}) if moved == 5 else 0 in flags:
            raise NotLocatedError("SSL_write and its own code disagree on whether it takes flags")
        return holder

    def exported(self, name: str, internal: str) -> int:
        """SSL_read or SSL_write: hands its arguments on, to the internal function or where that does."""
        holder = self._holder(name)
        code = self._sites.code[holder]
        inner = self._sites.holders(internal) - {holder}
        if any(_passes(call.arguments) for call in code.calls if call.target in inner):
            return holder
        if any(passed[:2] == (_SSL, _BUFFER) for passed in code.through_pointers):
            return holder
        raise NotLocatedError("the function that reports its errors does not hand its arguments on")

    def sibling(self, internal: str, moved: int) -> int:
        """SSL_read_ex, SSL_write_ex or SSL_write_ex2, if the internal function was put into it."""
        holders = self._sites.holders(internal)
        if not holders:
            raise NotLocatedError(f"no error is reported by the name of {internal}, which it would call")
        if len(holders) == 1:
            raise NotLocatedError(f"it reports no error of its own; {internal} stands for it")
        copies = {one for one in holders if not any(name.startswith("SSL_") for name in self._names(one))}
        negative = {one for one in copies if _has_minus_one(self._sites.code[one])}
        if len(negative) != 1:
            raise NotLocatedError(f"it can't be told from {internal}, which the compiler has put into it")
        return _only({one for one in copies - negative if self._layouts(one) == {moved}}, "would be it")

    def method(self, name: str) -> int:
        """A function that reports errors by its name, and passes the connection on to a method of it."""
        return self._smallest(name, {one for one in self._sites.holders(name) if self._calls_method(one)})

    def reporter(self, name: str) -> int:
        """A function that reports errors by its name."""
        holders = self._sites.holders(name)
        if not all(one in self._sites.exact or self._calls_method(one) for one in holders):
            raise NotLocatedError("where the function that reports its errors begins can't be told")
        return self._smallest(name, holders)

    def _calls_method(self, holder: int) -> bool:
        """Whether a function passes its first argument on to a method; where it begins must be known."""
        passed = {arguments[0] for arguments in self._sites.code[holder].through_pointers}
        return _SSL in passed or (None in passed and holder in self._sites.exact)

    def _holder(self, name: str) -> int:
        return _only(self._sites.holders(name), "report errors by its name")

    def _names(self, holder: int) -> set[str]:
        return {site.name for site in self._sites.sites if site.holder == holder}

    def _layouts(self, holder: int) -> set[int]:
        """Which of its arguments the function passes to a connection's method in the place of `moved`."""
        return {
            _MOVED[passed[3]]
            for passed in self._sites.code[holder].through_pointers
            if passed[3] in _MOVED and _passes(passed) and passed[2] in (_LENGTH, None)
        }

    def _smallest(self, name: str, holders: Collection[int]) -> int:
        """The one of which the others contain a copy: what it calls they call too, and more.

        A copy has the same lines, or lacks some that can't be reached there.
        """
        calls = {one: {call.target for call in self._sites.code[one].calls} for one in holders}
        lines = {
            one: {site.line for site in self._sites.sites if (site.name, site.holder) == (name, one)}
            for one in holders
        }
        within = {
            one
            for one in holders
            if all(
                calls[one] < calls[other] and lines[one] >= lines[other] for other in holders if other != one
            )
        }
        return _only(within or holders, "report errors by its name")


def _passes(arguments: tuple[int | None, ...]) -> bool:
    """Whether the function's own connection and buffer are passed; the buffer's way may be lost."""
    return arguments[0] == _SSL and arguments[1] in (_BUFFER, None)


def _has_minus_one(code: Code) -> bool:
    return any(
        one.name in ("mov", "or", "movn") and _MINUS_ONE.fullmatch(one.operands)
        for one in code.instructions.values()
    )


def _only(holders: Collection[int], what: str) -> int:
    if len(holders) != 1:
        raise NotLocatedError(f"{len(holders) or 'no'} functions {what}, where one is expected")
    (holder,) = holders
    return holder


SIGNATURE = Signature(
    lambda image: _Model(ErrorSites(image, _SOURCES)),
    {
        READ: lambda model: model.internal(READ, 4),
        WRITE: lambda model: model.write_internal(WRITE, 4),
        WRITE_WITH_FLAGS: lambda model: model.write_internal(WRITE, 5),
        "SSL_read": lambda model: model.exported("SSL_read", READ),
        "SSL_write": lambda model: model.exported("SSL_write", WRITE),
        "SSL_read_ex": lambda model: model.sibling(READ, 4),
        "SSL_write_ex": lambda model: model.sibling(WRITE, 4),
        "SSL_write_ex2": lambda model: model.sibling(WRITE, 5),
        "SSL_do_handshake": lambda model: model.method("SSL_do_handshake"),
        "SSL_clear": lambda model: model.method("SSL_clear"),
        "SSL_new": lambda model: model.reporter("SSL_new"),
        "ssl3_ctrl": lambda model: model.reporter("ssl3_ctrl"),
    },
)
