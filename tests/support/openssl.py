"""OpenSSL in versions that this machine does not have, from other Debian suites.

Each version brings its own C library and dynamic linker, so the programs run on any host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import Unpacked, run, unpacked


@dataclass(frozen=True)
class Suite:
    """Where a version comes from: suites that are looked into together, and the version it has to be."""

    name: str
    suites: tuple[str, ...]
    version: re.Pattern[str]


SUITES = (
    Suite("1.1.1", ("bullseye", "bullseye-security"), re.compile(r"1\.1\.1")),
    Suite("3.5", ("trixie", "trixie-security"), re.compile(r"3\.5\.")),
    Suite("unstable", ("sid",), re.compile(r"3\.[6-9]\.|[4-9]\.")),
    Suite("newest", ("sid", "experimental"), re.compile(r"[4-9]\.")),
)


@dataclass(frozen=True)
class OpenSsl(Unpacked):
    """One unpacked version: `version` as `openssl version` says it."""

    name: str
    version: str

    @property
    def libssl(self) -> Path:
        """The file of libssl."""
        return self.find("libssl.so.*")[0].resolve()

    def openssl(self, *arguments: str | Path) -> list[str]:
        """A command that runs this version's own `openssl`."""
        return self.command(self.root / "usr/bin/openssl", *arguments)


def available(suite: Suite) -> OpenSsl:
    """The version, fetched if the cache has none.

    :raises RuntimeError: if it can't be fetched or is not what it should be; the message says why.
    """
    root = unpacked(f"openssl-{suite.name}", suite.suites, ["openssl"]).root
    found = OpenSsl(root, suite.name, "")
    output = run(found.openssl("version"))
    match = re.match(r"OpenSSL (\S+)", output)
    if not match or not suite.version.match(match[1]):
        raise RuntimeError(
            f"{root}: expected OpenSSL {suite.version.pattern}, found {output!r}; remove that folder"
        )
    return OpenSsl(root, suite.name, match[1])
