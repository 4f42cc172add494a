"""A lighttpd of the tests' own, whose TLS is one of its modules': another library for each."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Certificates
from tests.support.nginx import free_port, listens
from tests.support.wait import wait_until

LIGHTTPD = "/usr/sbin/lighttpd"

ECHO = """#!/bin/sh
echo "Content-Type: application/octet-stream"
echo
exec cat
"""

_CONFIGURATION = """
server.modules = ("mod_{module}", "mod_alias", "mod_setenv", "mod_cgi")
server.document-root = "{folder}/files"
server.upload-dirs = ("{folder}/uploads")
server.errorlog = "{folder}/error.log"
server.bind = "127.0.0.1"
server.port = {port}
ssl.engine = "enable"
ssl.pemfile = "{certificates.certificate}"
ssl.privkey = "{certificates.key}"
alias.url = ("/git/" => "/usr/lib/git-core/git-http-backend/")
$HTTP["url"] =~ "^/git/" {{
    cgi.assign = ("" => "")
    setenv.set-environment = ("GIT_PROJECT_ROOT" => "{folder}/files", "GIT_HTTP_EXPORT_ALL" => "1")
}}
cgi.assign = (".cgi" => "")
mimetype.assign = ("" => "application/octet-stream")
"""


@dataclass(frozen=True)
class Lighttpd:
    """A running lighttpd on 127.0.0.1. It serves `folder`/files: /small, /big, and /echo.cgi, which answers
    with the body of the request; below /git/ it serves the same folder's git repositories."""

    port: int
    folder: Path
    certificates: Certificates
    process: subprocess.Popen[bytes] = field(repr=False)

    def url(self, path: str) -> str:
        """https URL of a path."""
        return f"https://localhost:{self.port}{path}"


@contextmanager
def run_lighttpd(
    module: str, folder: Path, certificates: Certificates, files: Mapping[str, bytes]
) -> Iterator[Lighttpd]:
    """Start it in `folder`, which must be empty, yield it when it listens, and stop it.

    :param module: what does the TLS: "wolfssl", "mbedtls", "openssl".
    :param files: what it serves, by name.
    """
    (folder / "files").mkdir()
    (folder / "uploads").mkdir()
    for name, content in files.items():
        (folder / "files" / name).write_bytes(content)
    (folder / "files/echo.cgi").write_text(ECHO)
    (folder / "files/echo.cgi").chmod(0o755)
    port = free_port()
    configuration = folder / "lighttpd.conf"
    configuration.write_text(
        _CONFIGURATION.format(module=module, folder=folder, port=port, certificates=certificates)
    )
    process = subprocess.Popen([LIGHTTPD, "-D", "-f", configuration], stdin=subprocess.DEVNULL)
    try:

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"lighttpd ended: {(folder / 'error.log').read_text()}")
            return listens(port)

        wait_until(up, "lighttpd to listen")
        yield Lighttpd(port, folder, certificates, process)
    finally:
        process.terminate()
        process.wait(timeout=20)
