"""An nginx of the tests' own: another process than the system's service, with its own files and ports."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import brotli

from tests.support.certificates import Certificates
from tests.support.forty import FOLDER, forty_files, image
from tests.support.wait import wait_until

NGINX = "/usr/sbin/nginx"

JSON = b'{"greeting": "hello", "numbers": [1, 2, 3]}\n'
UPLOADED = b'{"stored": true}\n'
TEXT = b"".join(b"line %d of a text that compresses well\n" % number for number in range(500))
BIG_SIZE = 64 * 1024 * 1024
POSTED = bytes(place % 251 for place in range(100_000))
"""What clients send to /upload."""
RANDOM = hashlib.shake_256(b"tlstap, random.bin").digest(300_000)

PAGE = b"""<!doctype html>
<title>loading</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<img src="image.png" width="8" height="8">
<script src="script.js"></script>
"""
STYLE = b"body { background: #eee; color: #333 }\n"
# A browser that loads a page waits for images and synchronous requests, not for others. An image from the
# server's other name needs a connection of its own.
SCRIPT = b"""function load(path) {
    const request = new XMLHttpRequest();
    request.open("GET", path, false);
    request.overrideMimeType("text/plain; charset=x-user-defined");
    request.send();
    return request.responseText;
}
const image = new Image();
image.src = "https://localhost:" + location.port + "/image.png";
document.body.append(image);
document.title = JSON.parse(load("data.json")).greeting + load("random.bin").length;
"""
POST_SCRIPT = b"""const request = new XMLHttpRequest();
request.open("POST", "upload", false);
request.send(new Uint8Array(100000).map((_, place) => place % 251));
document.title += JSON.parse(request.responseText).stored;
"""

_SERVER = """    server {{
        listen 127.0.0.1:{port} ssl{options};
        listen [::1]:{port} ssl{options};
        ssl_certificate {certificates.certificate};
        ssl_certificate_key {certificates.key};
        ssl_protocols {protocols};
        root {folder}/files;
        location = /json {{ default_type application/json; return 200 '{json}'; }}
        location = /other {{ default_type text/plain; return 200 'the other answer\\n'; }}
        location = /redirect {{ return 302 /json; }}
        location ~ \\.(html|css|js|png)$ {{ add_header Client "$remote_addr $remote_port"; }}
        location = /text.txt {{ gzip on; gzip_types text/plain; gzip_http_version 1.0; }}
        # nginx reads the whole body before it asks an upstream, here itself, without the body.
        location = /upload {{
            proxy_pass http://unix:{folder}/upstream.sock:/uploaded;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_http_version 1.1;
        }}
        location ^~ /forty/ {{
            gzip on;
            gzip_types text/css text/javascript application/json;
            add_header Client "$remote_addr $remote_port";
        }}
        location = /br.txt {{ types {{ }} default_type text/plain; add_header Content-Encoding br; }}
        location /forward/ {{
            proxy_pass https://127.0.0.1:{upstream}/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {certificates.authority};
        }}
        location = /bytes64 {{ default_type text/plain; return 200 '{bytes64}'; }}
        location = /bytes1k {{ default_type text/plain; return 200 '{bytes1k}'; }}
    }}
"""

_CONFIGURATION = """
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
{user}
events {{ worker_connections 2048; }}
http {{
    access_log off;
    types {{
        text/plain txt; application/octet-stream bin; text/html html; text/css css;
        text/javascript js; image/png png; application/json json;
    }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 64m;
    keepalive_requests 10000000;
{servers}    server {{
        listen unix:{folder}/upstream.sock;
        location = /uploaded {{ default_type application/json; return 200 '{uploaded}'; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx. It listens on 127.0.0.1 and ::1.

    `port` speaks HTTP/1.1 over TLS 1.2 or 1.3, as do the others, but: `http2_port` also HTTP/2, if ALPN asks
    for it; `tls12_port` and `tls13_port` only this TLS version.

    Locations: /json, /other, /redirect (to /json), /text.txt (gzip and chunked, if accepted), /upload (takes
    a body), /big.bin (64 MiB), /bytes64, /bytes1k, and what `page_files()` and `post_page_files()` say,
    most of it with a header `Client` that has the client's address and port; /br.txt (br); /forty/, the files
    of `forty_files()` (gzip for text, if accepted); below /forward/ the same once more, which it asks itself
    for, at `port`; anything else is 404.
    """

    port: int
    folder: Path
    certificates: Certificates
    process: subprocess.Popen[bytes] = field(repr=False)
    http2_port: int
    tls12_port: int
    tls13_port: int

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers, which do the TLS."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in children.split()]

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports on which it listens."""
        return (self.port, self.http2_port, self.tls12_port, self.tls13_port)

    def url(self, path: str, host: str = "127.0.0.1", port: int | None = None) -> str:
        """https URL of a location, on `port` if nothing else is said."""
        return f"https://{host}:{port or self.port}{path}"

    @property
    def big_sha256(self) -> str:
        """SHA-256 of /big.bin, in hex."""
        return hashlib.sha256(big_file()).hexdigest()


def big_file() -> bytes:
    """The 64 MiB of /big.bin: always the same bytes, which look random."""
    return hashlib.shake_256(b"tlstap").digest(BIG_SIZE)


def page_files() -> dict[str, bytes]:
    """/page.html and what a browser loads with it, by name: all of it before the page counts as loaded."""
    return {
        "page.html": PAGE,
        "style.css": STYLE,
        "script.js": SCRIPT,
        "image.png": image(200),
        "data.json": JSON,
        "random.bin": RANDOM,
    }


def post_page_files() -> dict[str, bytes]:
    """/post.html and what a browser loads with it: the same, and a script that POSTs `POSTED` to /upload."""
    files = page_files()
    page = files.pop("page.html") + b'<script src="post.js"></script>\n'
    return {"post.html": page, **files, "post.js": POST_SCRIPT}


def free_port() -> int:
    """A TCP port that is free on 127.0.0.1 and ::1 just now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different TCP ports that are free on 127.0.0.1 and ::1 just now."""
    ports = []
    with ExitStack() as open_sockets:
        for _ in range(count):
            six = open_sockets.enter_context(socket.socket(socket.AF_INET6))
            six.bind(("::1", 0))
            ports.append(int(six.getsockname()[1]))
            four = open_sockets.enter_context(socket.socket())
            four.bind(("127.0.0.1", ports[-1]))
    return ports


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
    (folder / "files/br.txt").write_bytes(brotli.compress(TEXT))
    (folder / "files/big.bin").write_bytes(big_file())
    (folder / "files" / FOLDER).mkdir()
    for name, content in forty_files().items():
        (folder / "files" / FOLDER / name).write_bytes(content)
    for name, content in (page_files() | post_page_files()).items():
        (folder / "files" / name).write_bytes(content)
    ports = free_ports(4)
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(folder, certificates, workers, ports))
    command = [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)} if libraries else None
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    try:

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"nginx ended: {(folder / 'error.log').read_text()}")
            return all(listens(port, host) for port in ports for host in ("127.0.0.1", "::1"))

        wait_until(up, "nginx to listen")
        nginx = Nginx(ports[0], folder, certificates, process, *ports[1:])
        wait_until(lambda: len(nginx.workers) == workers, "nginx's workers")
        yield nginx
    finally:
        process.terminate()
        process.wait(timeout=20)


def _configuration(folder: Path, certificates: Certificates, workers: int, ports: list[int]) -> str:
    # nginx deprecates http2 as a parameter of listen from 1.25.1 on, and before knows nothing else.
    kinds = (("", "TLSv1.2 TLSv1.3"), (" http2", "TLSv1.2 TLSv1.3"), ("", "TLSv1.2"), ("", "TLSv1.3"))
    servers = [
        _SERVER.format(
            folder=folder,
            certificates=certificates,
            port=port,
            upstream=ports[0],
            options=options,
            protocols=protocols,
            json=JSON.decode(),
            bytes64="x" * 64,
            bytes1k="y" * 1024,
        )
        for port, (options, protocols) in zip(ports, kinds, strict=True)
    ]
    return _CONFIGURATION.format(
        folder=folder,
        workers=workers,
        user="user root;" if os.geteuid() == 0 else "",
        servers="".join(servers),
        uploaded=UPLOADED.decode(),
    )


def gunzip_chunks(body: bytes) -> bytes:
    """Undo chunked transfer and gzip, to check what an answer of /text.txt says."""
    content = b""
    while True:
        size_line, _, rest = body.partition(b"\r\n")
        size = int(size_line, 16)
        if size == 0:
            return gzip.decompress(content)
        content, body = content + rest[:size], rest[size + 2 :]
