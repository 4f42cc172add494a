"""Protocol buffers made by protoc, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

GREETER = """
syntax = "proto3";
package example.greeting;
message HelloRequest { string name = 1; int64 count = 2; }
message HelloReply { string text = 1; repeated HelloRequest to = 2; }
service Greeter {
  rpc SayHello (HelloRequest) returns (HelloReply);
  rpc Chat (stream HelloRequest) returns (stream HelloReply);
}
"""


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Put .proto files into a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def descriptors(folder: Path, *files: str, imports: bool = True) -> bytes:
    """The FileDescriptorSet of files in a folder."""
    out = folder / "descriptors"
    protoc(folder, f"--descriptor_set_out={out}", *(["--include_imports"] if imports else []), *files)
    return out.read_bytes()


def encoded(folder: Path, file: str, message: str, text: str) -> bytes:
    """A message, given in text format."""
    return protoc(folder, f"--encode={message}", file, given=text.encode())


def protoc(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What protoc writes to its stdout."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", *arguments]
    return subprocess.run(command, input=given, check=True, capture_output=True).stdout
