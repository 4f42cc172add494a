"""What methods' messages look like, from files that protoc or grpcurl wrote (FileDescriptorSet)."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_database import (
    DescriptorDatabase,
    DescriptorDatabaseConflictingDefinitionError,
)
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from pydantic import JsonValue

MAX_MESSAGE = 4 << 20
"""Bytes of a message that is decoded; it is also the most that gRPC's libraries take by default."""
MAX_SMALL = 1 << 20
"""Bytes of all but long texts and byte strings: as JSON they may take a hundred times as much."""

_WELL_KNOWN = "google/protobuf/"
_LONGEST_REASON = 200
_TOO_LARGE = "the message is too large"
# What json_format raises besides its own error: for a type inside Any that no set has, a date out of range,
# Any inside Any many times.
_NO_JSON = (TypeError, ValueError, OverflowError, RecursionError)


class SchemaError(Exception):
    """A message is not what its method's descriptor says."""


class Schema:
    """The methods of several sets of descriptors, each the content of a file.

    Each set has a pool of its own, which takes from the others only what it lacks itself: programs have
    different files of the same name.
    """

    def __init__(self, protosets: Sequence[bytes]) -> None:
        sets = [_Set(contents) for contents in protosets]
        for files in sets:
            files.others = [other.database for other in sets if other is not files]
        self._pools = [(files, DescriptorPool(files)) for files in sets]
        self.problems = [files.load(pool) for files, pool in self._pools]
        """For each set why it, or something in it, can't be used; empty if all of it can."""

    def method(self, service: str, method: str) -> Method | None:
        """The method's messages; `service` with its package."""
        for files, pool in self._pools:
            try:
                # The set that has the service has its messages as that service's program knows them.
                files.database.FindFileContainingSymbol(service)
                return Method(pool.FindServiceByName(service).methods_by_name[method], pool)
            except (KeyError, TypeError, ValueError):
                continue
        return None


class Method:
    """The messages of a method."""

    def __init__(self, descriptor: MethodDescriptor, pool: DescriptorPool) -> None:
        self._pool = pool
        self._request: type[Message] = message_factory.GetMessageClass(descriptor.input_type)
        self._response: type[Message] = message_factory.GetMessageClass(descriptor.output_type)

    def decode(self, payload: bytes, *, is_request: bool) -> tuple[JsonValue, int]:
        """A message as protocol buffers' JSON, with the fields' own names.

        :return: that, and how many bytes of the message the schema does not know.
        :raises SchemaError: it is no such message, or has no form in JSON.
        """
        message = (self._request if is_request else self._response)()
        if len(payload) > MAX_MESSAGE:
            raise SchemaError(_TOO_LARGE)
        try:
            message.ParseFromString(payload)
            if len(payload) - (_bulk(message) if len(payload) > MAX_SMALL else 0) > MAX_SMALL:
                raise SchemaError(_TOO_LARGE)
            decoded: dict[str, Any] = json_format.MessageToDict(
                message, preserving_proto_field_name=True, descriptor_pool=self._pool
            )
            size = message.ByteSize()
            message.DiscardUnknownFields()
            return decoded, size - message.ByteSize()
        except (DecodeError, json_format.Error, *_NO_JSON) as error:
            raise SchemaError(_reason(error)) from None


class _Set:
    """A set of descriptors, as the pool asks for them."""

    def __init__(self, contents: bytes) -> None:
        self.database = DescriptorDatabase()
        self.others: Sequence[DescriptorDatabase] = ()
        self._names: list[str] = []
        files = FileDescriptorSet()
        with suppress(DecodeError):
            files.ParseFromString(contents)
        with warnings.catch_warnings():
            # Two files that define the same: the first one counts.
            warnings.simplefilter("ignore", RuntimeWarning)
            for file in files.file:
                with suppress(DescriptorDatabaseConflictingDefinitionError):
                    self.database.Add(file)
                self._names.append(file.name)

    def load(self, pool: DescriptorPool) -> str:
        """Load all files, as extensions are found only in loaded ones; what is wrong, or nothing."""
        problem = "" if self._names and all(self._names) else "it is no FileDescriptorSet"
        for name in self._names:
            try:
                pool.FindFileByName(name)
            except (KeyError, TypeError) as error:
                problem = problem or f"{name}: {_reason(error)}"
        return problem

    def FindFileByName(self, name: str) -> FileDescriptorProto:  # noqa: N802
        """The file of that name; KeyError if there is none."""
        for database in (self.database, *self.others):
            try:
                return database.FindFileByName(name)
            except KeyError:
                continue
        return _well_known(name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptorProto:  # noqa: N802
        """The file that defines a name; KeyError if none does."""
        for database in (self.database, *self.others):
            try:
                return database.FindFileContainingSymbol(symbol)
            except KeyError:
                continue
        raise KeyError(symbol)


def _bulk(message: Message) -> int:
    """Bytes of texts and byte strings in fields that are not repeated."""
    total = 0
    for _, value in message.ListFields():
        if isinstance(value, Message):
            total += _bulk(value)
        elif isinstance(value, str | bytes):
            total += len(value)
    return total


def _reason(error: Exception) -> str:
    """What the library says, as one line of bounded length."""
    return " ".join(str(error)[:_LONGEST_REASON].split()) or type(error).__name__


def _well_known(name: str) -> FileDescriptorProto:
    """A file that comes with the library, for sets that were made without imports."""
    stem = name.removeprefix(_WELL_KNOWN).removesuffix(".proto")
    if name == f"{_WELL_KNOWN}{stem}.proto" and stem.isidentifier():
        try:
            module = importlib.import_module(f"google.protobuf.{stem}_pb2")
        except ModuleNotFoundError:
            raise KeyError(name) from None
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        return file
    raise KeyError(name)
