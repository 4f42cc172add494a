"""The demo: tlstap starts a real curl, which talks to an HTTPS server on this machine, and shows both halves.

The server is Python's, with a certificate made for the occasion; nothing leaves the machine.
"""

from __future__ import annotations

import json
import os
import shlex
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TLSTAP = Path(sys.executable).parent / "tlstap"


class Shop(BaseHTTPRequestHandler):
    """Answers every POST."""

    protocol_version = "HTTP/1.1"
    server_version = "demo"
    sys_version = ""

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"accepted": True, "order": 4711, "items": order["items"]}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "session=8d1f; Secure; HttpOnly")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """The server says nothing."""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=tlstap demo"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return certificate, key


@contextmanager
def https_server(certificate: Path, key: Path) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def curl_command(certificate: Path, port: int) -> list[str]:
    """The client: an ordinary curl that checks the certificate."""
    order = json.dumps({"customer": "Ada", "items": ["tea", "biscuits"], "card": "4929 1234 5678 9012"})
    command = ["curl", "-sS", "--noproxy", "*", "--cacert", str(certificate), "-o", "/dev/null"]
    command += ["-H", "Content-Type: application/json", "-H", "Authorization: Bearer not-so-secret"]
    return [*command, "-d", order, f"https://127.0.0.1:{port}/orders"]


def tlstap_command(*arguments: str) -> list[str]:
    """tlstap as root, which leaves no files of root's in the checkout."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "env", "PYTHONDONTWRITEBYTECODE=1"]
    return [*sudo, str(TLSTAP), *arguments]


def main(options: list[str]) -> int:
    """Run the demo with further options for tlstap; the exit status is curl's."""
    with tempfile.TemporaryDirectory(prefix="tlstap-demo-") as name:
        certificate, key = make_certificate(Path(name))
        with https_server(certificate, key) as port:
            command = curl_command(certificate, port)
            # On stderr, so that `-f json` gives a clean capture on stdout.
            print(f"$ tlstap {shlex.join([*options, '--', *command])}\n", file=sys.stderr, flush=True)
            return subprocess.run(tlstap_command(*options, "--", *command), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
