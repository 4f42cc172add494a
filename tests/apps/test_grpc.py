"""gRPC: client and server of its wheel, which has BoringSSL inside without symbols; both are followed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from tests.support import http2
from tests.support import programs as c_programs
from tests.support.certificates import Certificates
from tests.support.ends import plain_environment
from tests.support.fixtures import RunTlstap
from tests.support.traffic import connections, losses
from tests.support.wheels import module

SERVER = """
import grpc, os, sys
from concurrent.futures import ThreadPoolExecutor
certificate, key = (open(path, "rb").read() for path in sys.argv[1:])
print("ready", os.getpid(), flush=True)
input()
reverse = grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])
server = grpc.server(ThreadPoolExecutor(2))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("tests.Bytes", {"Reverse": reverse})])
port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
server.start()
print(port, flush=True)
input()
server.stop(None).wait()
"""
CLIENT = """
import grpc, hashlib, os, sys
authority = open(sys.argv[1], "rb").read()
print("ready", os.getpid(), flush=True)
address = input()
with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority)) as channel:
    for size in (1, 200_000):
        request = bytes(place % 251 for place in range(size))
        answer = channel.unary_unary("/tests.Bytes/Reverse")(request, timeout=60)
        print(hashlib.sha256(answer).hexdigest(), flush=True)
    input()
"""
REQUESTS = [bytes(place % 251 for place in range(size)) for size in (1, 200_000)]
ANSWERS = [request[::-1] for request in REQUESTS]


def message(content: bytes) -> bytes:
    """A message as gRPC puts it into DATA frames: not compressed, its length, itself."""
    return b"\0" + len(content).to_bytes(4, "big") + content


def test_both_ends(tlstap: RunTlstap, certificates: Certificates, tmp_path: Path) -> None:
    environment = plain_environment(tmp_path)
    library = module("grpc._cython.cygrpc")
    python = [sys.executable, "-c"]
    server = c_programs.start([*python, SERVER, certificates.certificate, certificates.key], environment)
    client = c_programs.start([*python, CLIENT, certificates.authority], environment)
    with tlstap("-p", server.pid, "-p", client.pid) as tracer:
        tracer.wait_traced(library)
        server.go()
        port = int(server.line())
        client.say(f"127.0.0.1:{port}")
        digests = [client.line() for _ in REQUESTS]
        client.say("end")
        assert client.finish() == []
        server.say("end")
        server.finish()
    found = {traced.process.pid: traced for traced in connections(tracer.events)}
    at_client, at_server = found[client.pid], found[server.pid]

    assert digests == [hashlib.sha256(answer).hexdigest() for answer in ANSWERS]
    assert len(connections(tracer.events)) == 2
    assert losses(tracer.events) == []
    assert at_client.written.startswith(http2.PREFACE)
    assert http2.bodies(at_client.written) == [message(request) for request in REQUESTS]
    assert http2.bodies(at_client.read) == [message(answer) for answer in ANSWERS]
    assert (len(at_client.written), len(at_client.read)) == (len(at_server.read), len(at_server.written))
    assert (at_client.written, at_client.read) == (at_server.read, at_server.written)
    assert at_client.ports == tuple(reversed(at_server.ports))
    assert at_server.ports[0] == port
    for traced in (at_client, at_server):
        assert traced.connection.inferred  # gRPC passes TLS through memory
        assert traced.process.exe == str(Path(sys.executable).resolve())
        assert (traced.library.name, traced.library.path) == ("boringssl", str(library))
