"""Which command a reply answers: replies come in the order of the commands, but for what is published."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import tlstap
from tlstap_redis.commands import CONFIRMATIONS, PUBLISHED, SUBSCRIPTIONS
from tlstap_redis.value import Value

ROUNDS = 3
"""Commands in a row, each with one reply before the next, after which the order is taken as known again."""
_SIZE = 160
"""About how much memory a command takes that waits."""


@dataclass(slots=True)
class _Waiting:
    """A command without its reply. `left`: replies that are to come; None if nobody knows, but some."""

    name: str
    left: int | None = 1
    answered: bool = False


class Pairing:
    """Pairs replies with commands while that is certain.

    It is not on a connection that was found in the middle, nor behind a loss, until client and server were
    seen to take turns for a while.

    :param certain: nothing was sent before.
    """

    def __init__(self, memory: tlstap.Allowance, *, certain: bool) -> None:
        self._memory = memory
        self._certain = certain
        self._rounds = 0
        self._waiting: deque[_Waiting] = deque()
        self._subscribed = False

    def command(self, value: Value, name: str) -> None:
        """The client sent a command."""
        if self._waiting and not self._certain:
            self._rounds = 0
        if value.name == b"CLIENT" and value.word(1).upper() == b"REPLY":
            # From here on, some get no reply.
            self.lost()
            return
        granted = self._memory.take(_SIZE)
        if granted < _SIZE:
            self._memory.give_back(granted)
            self.lost()
            return
        subscription = value.name in SUBSCRIPTIONS
        self._waiting.append(_Waiting(name, (value.parts - 1 or None) if subscription else 1))

    def is_push(self, value: Value) -> bool:
        """Is this something that the server sends on its own account?"""
        if value.kind == "attribute":
            return True
        if self._confirms(value):
            return False
        # Without a command that waits, there is nothing that a list could answer.
        subscribed = self._subscribed or not (self._certain and self._waiting)
        return value.kind == "push" or (value.kind == "array" and subscribed and value.word(0) in PUBLISHED)

    def reply(self, value: Value) -> str | None:
        """The name of the command that this answers, if that is certain."""
        if self._is_confirmation(value):
            self._subscribed = value.word(2) != b"0" or value.kind == "push"
        confirms = self._confirms(value)
        if not confirms and self._waiting and self._waiting[0].answered and self._waiting[0].left is None:
            self._drop()
        if not self._waiting:
            self._rounds = 0
            return None
        first, certain = self._waiting[0], self._certain
        first.answered = True
        if confirms and first.left != 1:
            first.left = None if first.left is None else first.left - 1
        else:
            self._turn()
            self._drop()
        return first.name if certain else None

    def lost(self) -> None:
        """It is not known any more how many replies are to come."""
        self._certain, self._rounds = False, 0
        self._memory.give_back(_SIZE * len(self._waiting))
        self._waiting.clear()

    def _turn(self) -> None:
        self._rounds = self._rounds + 1 if len(self._waiting) == 1 else 0
        self._certain = self._certain or self._rounds >= ROUNDS

    def _drop(self) -> None:
        self._waiting.popleft()
        self._memory.give_back(_SIZE)

    def _is_confirmation(self, value: Value) -> bool:
        return value.kind in ("array", "push") and value.parts == 3 and value.word(0) in CONFIRMATIONS

    def _confirms(self, value: Value) -> bool:
        """Does this answer the command whose turn it is, a subscription?"""
        first = self._waiting[0] if self._waiting else None
        if first is None or not self._is_confirmation(value):
            return False
        return first.name.encode("ascii", "replace").lower() == value.word(0)
