"""--protoset: schemas for gRPC from the command line and from Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.samples import NOW, connection, rendered
from tests.unit.protocols.protoc import GREETER, descriptors, encoded, write

from tlstap.cli import main
from tlstap.errors import UsageError
from tlstap.records import Closed, Data, Opened, Record
from tlstap.sinks import jsonlines
from tlstap.tracer import Tracer

REMEDY = "make it with protoc --include_imports --descriptor_set_out=FILE, or grpcurl -protoset-out"


@pytest.fixture
def greeter(tmp_path: Path) -> Path:
    """A file with descriptors."""
    write(tmp_path, {"greeter.proto": GREETER})
    path = tmp_path / "greeter.protoset"
    path.write_bytes(descriptors(tmp_path, "greeter.proto"))
    return path


@pytest.fixture
def capture(greeter: Path, tmp_path: Path) -> Path:
    """A capture of a call by gRPC-Web."""
    sent = encoded(tmp_path, "greeter.proto", "example.greeting.HelloRequest", 'name: "Ada" count: 3')
    got = encoded(tmp_path, "greeter.proto", "example.greeting.HelloReply", 'text: "Hello, Ada"')
    head = "POST /example.greeting.Greeter/SayHello HTTP/1.1\r\nHost: example.com\r\n"
    request = _with_body(head, sent)
    response = _with_body("HTTP/1.1 200 OK\r\n", got)
    of = connection()
    path = tmp_path / "capture.json"
    records: list[Record] = [
        Opened(of, of.process, NOW, True),
        Data(of, of.process, NOW, "write", 0, len(request), request, "SSL_write", 1000),
        Data(of, of.process, NOW, "read", 0, len(response), response, "SSL_read", 1000),
        Closed(of, of.process, NOW, len(response), len(request), 0, 0),
    ]
    path.write_text(rendered(jsonlines.SINK, records))
    return path


def _with_body(head: str, message: bytes) -> bytes:
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return f"{head}Content-Type: application/grpc-web\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def details(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[dict[str, object]]:
    """The details of each gRPC message, without service and method."""
    assert main(["replay", *map(str, arguments), "-f", "json", "--only", "message"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(event["protocol"], event["target"]) for event in events} == {
        ("grpc", "/example.greeting.Greeter/SayHello")
    }
    for event in events:
        assert event["details"].pop("service") == "example.greeting.Greeter"
        assert event["details"].pop("method") == "SayHello"
    return [event["details"] for event in events]


def test_replay_decodes_by_the_schema(
    capture: Path, greeter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert details(capsys, capture, "--protoset", greeter) == [
        {"message": {"name": "Ada", "count": "3"}},
        {"message": {"text": "Hello, Ada"}},
    ]


def test_replay_without_a_schema(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert details(capsys, capture) == [
        {
            "fields": [
                {"number": 1, "type": "len", "value": "Ada"},
                {"number": 2, "type": "varint", "value": 3},
            ]
        },
        {"fields": [{"number": 1, "type": "len", "value": "Hello, Ada"}]},
    ]


def test_several_files(
    capture: Path, greeter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {"other.proto": 'syntax = "proto3"; message Other {}'})
    other = tmp_path / "other.protoset"
    other.write_bytes(descriptors(tmp_path, "other.proto"))
    found = details(capsys, capture, "--protoset", other, "--protoset", greeter)
    assert found[1] == {"message": {"text": "Hello, Ada"}}


@pytest.mark.parametrize("command", ["replay", "trace"])
def test_a_file_that_is_not_there(
    command: str, capture: Path, greeter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(capture)] if command == "replay" else []
    assert main([command, "--protoset", str(greeter), "--protoset", "/nowhere/x", *arguments]) == 2
    assert capsys.readouterr() == (
        "",
        "tlstap: can't read the protoset /nowhere/x: No such file or directory\n",
    )


@pytest.mark.parametrize("command", ["replay", "trace"])
def test_a_file_that_is_something_else(
    command: str, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(capture)] if command == "replay" else []
    assert main([command, "--protoset", str(capture), *arguments]) == 2
    assert capsys.readouterr() == (
        "",
        f"tlstap: can't use the protoset {capture}: it is no FileDescriptorSet; {REMEDY}\n",
    )


def test_from_python(greeter: Path) -> None:
    with pytest.raises(UsageError, match="can't read the protoset /nowhere/x: No such file or directory"):
        Tracer(protosets=[greeter, "/nowhere/x"])
    tracer = Tracer(protosets=[greeter, str(greeter)])
    assert tracer._registry.body_options.protosets == (greeter.read_bytes(),) * 2


def test_protobuf_is_loaded_only_for_grpc(capture: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from tlstap.cli import main; status = main(sys.argv[1:]);"
        "print(status, 'google.protobuf' in sys.modules, file=sys.stderr)"
    )
    other = tmp_path / "other.json"
    other.write_text(capture.read_text().splitlines()[0] + "\n")

    def loaded(*arguments: str | Path) -> str:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stderr

    assert loaded("--help") == "0 False\n"
    assert loaded("plugins") == "0 False\n"
    assert loaded("replay", other) == "0 False\n"
    assert loaded("replay", capture) == "0 True\n"
