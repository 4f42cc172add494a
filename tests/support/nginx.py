"""An nginx of the tests' own: another process than the system's service, with its own files and port."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Certificates
from tests.support.wait import wait_until

NGINX = "/usr/sbin/nginx"

JSON = b'{"greeting": "hello", "numbers": [1, 2, 3]}\n'
UPLOADED = b'{"stored": true}\n'
TEXT = b"".join(b"line %d of a text that compresses well\n" % number for number in range(500))
BIG_SIZE = 64 * 1024 * 1024

_CONFIGURATION = """
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
{user}
events {{ worker_connections 2048; }}
http {{
    access_log off;
    types {{ text/plain txt; application/octet-stream bin; }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 64m;
    keepalive_requests 10000000;
    server {{
        listen 127.0.0.1:{port} ssl;
        listen [::1]:{port} ssl;
        ssl_certificate {certificates.certificate};
        ssl_certificate_key {certificates.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        root {folder}/files;
        location = /json {{ default_type application/json; return 200 '{json}'; }}
        location = /other {{ default_type text/plain; return 200 'the other answer\\n'; }}
        location = /redirect {{ return 302 /json; }}
        location = /text.txt {{ gzip on; gzip_types text/plain; gzip_http_version 1.0; }}
        # nginx reads the whole body before it asks an upstream, here itself, without the body.
        location = /upload {{
            proxy_pass http://unix:{folder}/upstream.sock:/uploaded;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_http_version 1.1;
        }}
        location = /bytes64 {{ default_type text/plain; return 200 '{bytes64}'; }}
        location = /bytes1k {{ default_type text/plain; return 200 '{bytes1k}'; }}
    }}
    server {{
        listen unix:{folder}/upstream.sock;
        location = /uploaded {{ default_type application/json; return 200 '{uploaded}'; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx. It listens on 127.0.0.1 and ::1.

    Locations: /json, /other, /redirect (to /json), /text.txt (gzip and chunked, if accepted), /upload (takes
    a body), /big.bin (64 MiB), /bytes64, /bytes1k; anything else is 404.
    """

    port: int
    folder: Path
    certificates: Certificates
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers, which do the TLS."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in children.split()]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """https URL of a location."""
        return f"https://{host}:{self.port}{path}"

    @property
    def big_sha256(self) -> str:
        """SHA-256 of /big.bin, in hex."""
        return hashlib.sha256(big_file()).hexdigest()


def big_file() -> bytes:
    """The 64 MiB of /big.bin: always the same bytes, which look random."""
    return hashlib.shake_256(b"tlstap").digest(BIG_SIZE)


def free_port() -> int:
    """A TCP port that is free on 127.0.0.1 and ::1 just now."""
    with socket.socket(socket.AF_INET6) as six:
        six.bind(("::1", 0))
        port: int = six.getsockname()[1]
        with socket.socket() as four:
            four.bind(("127.0.0.1", port))
    return port


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def run_nginx(
    folder: Path, certificates: Certificates, workers: int = 1, libraries: Path | None = None
) -> Iterator[Nginx]:
    """Start nginx in `folder`, which must be empty, yield it when it listens, and stop it.

    :param libraries: a folder whose libssl and libcrypto it uses instead of the system's.
    """
    (folder / "files").mkdir()
    (folder / "files/text.txt").write_bytes(TEXT)
    (folder / "files/big.bin").write_bytes(big_file())
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=folder,
            certificates=certificates,
            port=port,
            workers=workers,
            user="user root;" if os.geteuid() == 0 else "",
            json=JSON.decode(),
            uploaded=UPLOADED.decode(),
            bytes64="x" * 64,
            bytes1k="y" * 1024,
        )
    )
    command = [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)} if libraries else None
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    try:

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"nginx ended: {(folder / 'error.log').read_text()}")
            return listens(port) and listens(port, "::1")

        wait_until(up, "nginx to listen")
        nginx = Nginx(port, folder, certificates, process)
        wait_until(lambda: len(nginx.workers) == workers, "nginx's workers")
        yield nginx
    finally:
        process.terminate()
        process.wait(timeout=20)


def gunzip_chunks(body: bytes) -> bytes:
    """Undo chunked transfer and gzip, to check what an answer of /text.txt says."""
    content = b""
    while True:
        size_line, _, rest = body.partition(b"\r\n")
        size = int(size_line, 16)
        if size == 0:
            return gzip.decompress(content)
        content, body = content + rest[:size], rest[size + 2 :]
