"""One stream of an HTTP/2 connection: an exchange, of which each half is filled in by one direction."""

from __future__ import annotations

from tlstap.protocols.http.body import Body
from tlstap.protocols.http2.tunnel import Tunnel
from tlstap.records import Direction, Exchange, Message, MissingPart


class Side:
    """One half of the exchange, which travels in `direction`.

    `message` is None until something of it was seen; `head_seen`: its headers were. `uncertain`: frames of
    its direction were lost while it was open, so that bytes of it may be. `assumed_over`: it was over before
    the first frame that was seen, as far as anybody knows.
    """

    __slots__ = (
        "assumed_over",
        "body",
        "direction",
        "done",
        "head_seen",
        "is_request",
        "message",
        "trailers_seen",
        "uncertain",
    )

    def __init__(self, *, is_request: bool, direction: Direction) -> None:
        self.is_request = is_request
        self.direction: Direction = direction
        self.message: Message | None = None
        self.body: Body | None = None
        self.head_seen = self.trailers_seen = self.done = self.uncertain = self.assumed_over = False

    @property
    def part(self) -> MissingPart:
        """The half as a whole."""
        return "request" if self.is_request else "response"

    @property
    def headers_part(self) -> MissingPart:
        return "request headers" if self.is_request else "response headers"

    @property
    def body_part(self) -> MissingPart:
        return "request body" if self.is_request else "response body"

    @property
    def announced(self) -> int | None:
        """Bytes of the body by the head, where that says so."""
        for name, value in self.message.headers if self.message else ():
            if name == "content-length" and len(value) < 20 and value.isdecimal():
                return int(value)
        return None


class Stream:
    """A stream. `held` are the bytes that it took from the allowance."""

    __slots__ = ("_client", "exchange", "held", "id", "over", "request", "response", "tunnel")

    def __init__(self, exchange: Exchange, client: Direction) -> None:
        server: Direction = "read" if client == "write" else "write"
        self._client: Direction = client
        self.exchange = exchange
        self.id = exchange.stream_id or 0
        self.request = Side(is_request=True, direction=client)
        self.response = Side(is_request=False, direction=server)
        self.held = 0
        self.over = False
        self.tunnel: Tunnel | None = None

    def side(self, direction: Direction) -> Side:
        """The half to which frames of that direction belong."""
        return self.request if direction == self._client else self.response
