"""How a connection that speaks Redis is known: by what commands and published messages look like."""

from __future__ import annotations

import tlstap
from tlstap_redis import starts
from tlstap_redis.decoder import RedisDecoder


class Redis(tlstap.Protocol):
    """Recognised by a command of the client, or by something published that the server pushes.

    Other replies are not enough: "+OK" is POP3's, too. Nor are inline commands: NATS has the same PING.
    """

    name = "redis"

    def recognise(self, channel: tlstap.Channel, direction: tlstap.Direction, start: bytes) -> bool | None:
        if channel.switch is not None and channel.switch.protocol:
            return False
        verdicts = []
        if channel.client in (None, direction):
            verdicts.append(starts.is_command(start, from_client=channel.client == direction))
        if channel.client != direction:
            verdicts.append(starts.is_push(start))
        return True if True in verdicts else None if None in verdicts else False

    def decoder(self, channel: tlstap.Channel, memory: tlstap.Allowance) -> tlstap.Decoder:
        return RedisDecoder(channel, memory)
