"""One direction: its values, and where it goes on behind what was lost or is not RESP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import tlstap
from tlstap_redis import starts
from tlstap_redis.reader import NotRespError, Reader
from tlstap_redis.value import Value


class Roles:
    """Which direction is the client's; None until that is known."""

    def __init__(self, client: tlstap.Direction | None) -> None:
        self.client = client


class Half:
    """Reads a direction. `searching`: it is not known where the next value begins.

    `due`: a reply has to come, since the client sent a command after this direction lost its place.
    """

    def __init__(self, memory: tlstap.Allowance, direction: tlstap.Direction, roles: Roles) -> None:
        self._memory = memory
        self._direction = direction
        self._roles = roles
        self._reader = Reader(memory, self._is_client)
        self.searching = False
        self.due = False

    def feed(self, data: tlstap.StreamBytes) -> Iterator[Value | tlstap.StreamBytes]:
        """The values that are complete, or as complete as they will get, and bytes that belong to none."""
        if data.lost_before:
            yield from self._gap(data.lost_before)
        payload = data.payload
        if self.searching and payload:
            at = self._start(payload)
            self.searching = at is None
            skipped = payload[:at]
            if skipped:
                yield replace(data, payload=skipped, lost_before=0)
            payload = payload[len(skipped) :]
        try:
            yield from self._reader.feed(payload)
        except NotRespError as error:
            yield from self._abandon(tlstap.Missing("message", "not decodable"))
            self._search()
            offset = data.offset + len(data.payload) - len(error.unread)
            yield replace(data, offset=offset, payload=error.unread, lost_before=0)

    def finish(self) -> Iterator[Value]:
        """What has begun and will not end."""
        return self._abandon(tlstap.Missing("message", "unfinished"))

    def _is_client(self) -> bool | None:
        return None if self._roles.client is None else self._roles.client == self._direction

    def _search(self) -> None:
        self.searching, self.due = True, False

    def _gap(self, size: int) -> Iterator[Value]:
        if self._reader.skip(size):
            value = self._reader.ended()
            if value is not None:
                yield value
            return
        lost = tlstap.Missing("message", "lost", size)
        begun = False
        for value in self._abandon(lost):
            begun = True
            yield value
        if not begun:
            # Nothing has begun that could tell of it.
            value = Value("", self._memory)
            value.missing.append(lost)
            yield value
        self._search()

    def _abandon(self, why: tlstap.Missing) -> Iterator[Value]:
        value = self._reader.abandon()
        if value is not None:
            value.missing.append(why)
            yield value

    def _start(self, payload: bytes) -> int | None:
        """Where a value begins, as far as one can tell."""
        client = self._is_client()
        if client is not False:
            at = starts.find_command(payload)
            if at is not None or client:
                return at
        return 0 if self.due and starts.may_be_reply(payload) else starts.find_push(payload)
