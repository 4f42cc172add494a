"""Files with descriptors, as the user names them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tlstap.errors import UsageError

MAX_SIZE = 256 << 20
_REMEDY = "make it with protoc --include_imports --descriptor_set_out=FILE, or grpcurl -protoset-out"


def read_protosets(paths: Collection[str | Path]) -> tuple[bytes, ...]:
    """The contents of files with a FileDescriptorSet, all of which can be used.

    :raises UsageError: one can't be read, or is something else; which, and why.
    """
    if not paths:
        return ()
    contents = tuple(_read(path) for path in paths)
    # Takes the time to load protobuf, so only for those who need it.
    from tlstap.protocols.grpc.schema import Schema

    for path, problem in zip(paths, Schema(contents).problems, strict=True):
        if problem:
            raise UsageError(f"can't use the protoset {path}: {problem}; {_REMEDY}")
    return contents


def _read(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise UsageError(f"can't read the protoset {path}: {error.strerror}") from None
    if len(content) > MAX_SIZE:
        raise UsageError(f"can't use the protoset {path}: it has more than {MAX_SIZE >> 20} MiB")
    return content
