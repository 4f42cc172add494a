"""Which bodies are gRPC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tlstap.protocols.body_formats import BodyFormat, BodyReader
from tlstap.protocols.grpc.credit import Credit
from tlstap.protocols.http.media_type import media_type
from tlstap.protocols.memory import Allowance
from tlstap.records import Exchange, Message

if TYPE_CHECKING:
    from tlstap.protocols.grpc.schema import Schema

_MEDIA_TYPE = re.compile(r"application/grpc(-web(-text)?)?(?:\+(.*))?")


class Grpc(BodyFormat):
    """gRPC and gRPC-Web. protobuf is loaded when the first such body is seen."""

    name = "grpc"

    def __init__(self, protosets: Sequence[bytes] = ()) -> None:
        """:param protosets: contents of files with a FileDescriptorSet; what can't be used is passed over."""
        self._protosets = tuple(protosets)
        self._credit = Credit()

    @cached_property
    def _schema(self) -> Schema | None:
        if not self._protosets:
            return None
        from tlstap.protocols.grpc.schema import Schema

        return Schema(self._protosets)

    def reader(self, exchange: Exchange, message: Message, memory: Allowance) -> BodyReader | None:
        found = _MEDIA_TYPE.fullmatch(media_type(message.headers))
        if found is None:
            return None
        from tlstap.protocols.grpc.reader import GrpcReader

        web, text, codec = found.groups()
        return GrpcReader(
            exchange,
            message,
            memory,
            web=web is not None,
            text=text is not None,
            protobuf=codec in (None, "proto"),
            schema=self._schema,
            credit=self._credit,
        )
