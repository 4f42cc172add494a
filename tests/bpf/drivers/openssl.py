"""A driver in Python, which plays one scenario with the ssl module; the program's last argument names it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import sys
import threading

SENT = {"client": b"from the client " * 100, "server": b"from the server " * 50}


def end(role: str, connection: socket.socket) -> None:
    """One end of the connection, and its line."""
    is_server = role == "server"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    if is_server:
        context.load_cert_chain(os.environ["TLSTAP_CERTIFICATE"], os.environ["TLSTAP_KEY"])
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(connection, server_side=is_server) as tls:
        own, other = SENT[role], SENT["client" if is_server else "server"]
        if not is_server:
            tls.sendall(own)
        read = b""
        while len(read) < len(other):
            read += tls.read(1000)
        if is_server:
            tls.sendall(own)
    line = {"role": role, "read": stream(read), "written": stream(own)}
    sys.stdout.write(json.dumps(line) + "\n")


def stream(data: bytes) -> dict[str, int | str]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


if sys.argv[-1] == "exchange":
    first, second = socket.socketpair()
    server = threading.Thread(target=end, args=("server", second))
    server.start()
    end("client", first)
    server.join()
else:
    print(json.dumps({"left_out": "an example plays one scenario"}))
