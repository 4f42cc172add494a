"""A gRPC service with methods of all four kinds: its description, its server and a client of it."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

SERVICE = "tests.shop.Shop"
DESCRIPTION = """
syntax = "proto3";
package tests.shop;

enum Kind { PLAIN = 0; SPECIAL = 1; }

message Item {
  string name = 1;
  sint64 number = 2;
  repeated Item parts = 3;
  bytes data = 4;
  map<string, int32> counts = 5;
  Kind kind = 6;
  double weight = 7;
}

service Shop {
  rpc Get(Item) returns (Item);
  rpc Collect(stream Item) returns (Item);
  rpc List(Item) returns (stream Item);
  rpc Talk(stream Item) returns (stream Item);
  rpc Fail(Item) returns (Item);
}
"""
SERVER = """
import grpc, os, sys
from concurrent.futures import ThreadPoolExecutor
from shop_pb2 import Item
import shop_pb2_grpc

class Shop(shop_pb2_grpc.ShopServicer):
    def Get(self, item, context):
        if item.name == "large":
            context.set_compression(grpc.Compression.Gzip)
        context.send_initial_metadata([("x-start", "get")])
        context.set_trailing_metadata([("x-end", "get")])
        return Item(name="got " + item.name, number=-item.number, data=item.data[::-1])

    def Collect(self, items, context):
        return Item(name="all", parts=list(items))

    def List(self, item, context):
        for number in range(item.number):
            yield Item(name=item.name, number=number)

    def Talk(self, items, context):
        for item in items:
            yield Item(name="answer to " + item.name, kind="SPECIAL", counts={"of": item.number})

    def Fail(self, item, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such item: \\u00fc 100%")

certificate, key = (open(path, "rb").read() for path in sys.argv[1:])
print("ready", os.getpid(), flush=True)
input()
server = grpc.server(ThreadPoolExecutor(2))
shop_pb2_grpc.add_ShopServicer_to_server(Shop(), server)
port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
server.start()
print(port, flush=True)
input()
server.stop(None).wait()
"""
CLIENT = """
import grpc, hashlib, os, sys
from shop_pb2 import Item
from shop_pb2_grpc import ShopStub

authority = open(sys.argv[1], "rb").read()
print("ready", os.getpid(), flush=True)
address = input()
with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority)) as channel:
    shop = ShopStub(channel)
    settings = {"timeout": 60}
    item = Item(name="small", number=-7, weight=0.5, data=b"\\0\\xff")
    print(shop.Get(item, metadata=[("x-who", "tests")], **settings).name)
    large = Item(name="large", data=hashlib.shake_256(b"large").hexdigest(50_000).encode())
    print(len(shop.Get(large, compression=grpc.Compression.Gzip, **settings).data))
    print(len(shop.Collect(iter([Item(name=str(number)) for number in range(3)]), **settings).parts))
    print([item.number for item in shop.List(Item(name="list", number=3), **settings)])
    print([item.name for item in shop.Talk(iter([Item(name="a", number=1), Item(name="b")]), **settings)])
    try:
        shop.Fail(Item(name="none"), **settings)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
    input()
"""
PRINTED = [
    "got small",
    "100000",
    "3",
    "[0, 1, 2]",
    "['answer to a', 'answer to b']",
    "NOT_FOUND no such item: \u00fc 100%",
]
"""What the client prints."""

_LARGE = hashlib.shake_256(b"large").hexdigest(50_000).encode()
MESSAGES: list[tuple[str, list[dict[str, JsonValue]], list[dict[str, JsonValue]]]] = [
    (
        "Get",
        [{"name": "small", "number": "-7", "data": "AP8=", "weight": 0.5}],
        [{"name": "got small", "number": "7", "data": "/wA="}],
    ),
    (
        "Get",
        [{"name": "large", "data": base64.b64encode(_LARGE).decode()}],
        [{"name": "got large", "data": base64.b64encode(_LARGE[::-1]).decode()}],
    ),
    (
        "Collect",
        [{"name": "0"}, {"name": "1"}, {"name": "2"}],
        [{"name": "all", "parts": [{"name": "0"}, {"name": "1"}, {"name": "2"}]}],
    ),
    (
        "List",
        [{"name": "list", "number": "3"}],
        [{"name": "list"}, {"name": "list", "number": "1"}, {"name": "list", "number": "2"}],
    ),
    (
        "Talk",
        [{"name": "a", "number": "1"}, {"name": "b"}],
        [
            {"name": "answer to a", "counts": {"of": 1}, "kind": "SPECIAL"},
            {"name": "answer to b", "counts": {"of": 0}, "kind": "SPECIAL"},
        ],
    ),
    ("Fail", [{"name": "none"}], []),
]
"""The client's calls: the method, and the messages of both ends as protocol buffers' JSON has them."""


@dataclass(frozen=True)
class Shop:
    """What protoc made of the description: a folder with modules for Python, and a FileDescriptorSet."""

    folder: Path
    protoset: Path


def compile_shop(folder: Path) -> Shop:
    """Have protoc compile it, in an empty folder."""
    (folder / "shop.proto").write_text(DESCRIPTION)
    protoset = folder / "shop.protoset"
    options = [f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *options, f"--descriptor_set_out={protoset}"]
    subprocess.run([*command, "shop.proto"], check=True)
    return Shop(folder, protoset)
