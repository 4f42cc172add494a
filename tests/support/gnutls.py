"""GnuTLS in a version that this machine does not have, from a newer Debian suite.

It brings its own C library and dynamic linker, so the programs run on any host.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import Unpacked, run, unpacked
from tests.support.wait import wait_until

SUITES = ("trixie", "trixie-security")


@dataclass(frozen=True)
class GnuTls(Unpacked):
    """The unpacked programs: `version` as `gnutls-cli --version` says it."""

    version: str

    @property
    def library(self) -> Path:
        """The file of libgnutls."""
        return self.find("libgnutls.so.30")[0].resolve()

    def gnutls_cli(self, *arguments: str | Path) -> list[str]:
        """A command that runs this version's own `gnutls-cli`."""
        return self.command(self.root / "usr/bin/gnutls-cli", *arguments)

    def wget(self, *arguments: str | Path) -> list[str]:
        """A command that runs the wget of the same suite."""
        return self.command(self.root / "usr/bin/wget", *arguments)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A process that does nothing with the library, so that tlstap knows it from the start."""
        command = self.command(
            self.root / "usr/bin/certtool", "--certificate-info"
        )  # waits for a certificate
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        maps = Path(f"/proc/{process.pid}/maps")
        try:
            wait_until(lambda: str(self.library) in maps.read_text(), "certtool to load GnuTLS")
            yield
        finally:
            process.kill()
            process.communicate()


def available() -> GnuTls:
    """GnuTLS 3.8, fetched if the cache has none.

    :raises RuntimeError: if it can't be fetched or is not what it should be; the message says why.
    """
    root = unpacked("gnutls-3.8", SUITES, ["gnutls-bin", "wget"]).root
    output = run(GnuTls(root, "").gnutls_cli("--version"))
    match = re.match(r"gnutls-cli (3\.8\.\S+)", output)
    if not match:
        raise RuntimeError(f"{root}: expected GnuTLS 3.8, found {output!r}; remove that folder")
    return GnuTls(root, match[1])
