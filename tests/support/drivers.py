"""The drivers of tests/bpf/drivers and of examples, compiled as a plugin's author would do it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.examples import EXAMPLES
from tlstap.conformance.observe import DRIVER_HEADER

SOURCES = Path(__file__).parents[1] / "bpf/drivers"
FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror")
ANDROID = f"/usr/lib/{os.uname().machine}-linux-gnu/android"
LIBRARIES: dict[str, tuple[str, ...]] = {
    "openssl": ("-lssl", "-lcrypto"),
    "gnutls": ("-lgnutls",),
    "nss": (
        "-I/usr/include/nss",
        "-I/usr/include/nspr",
        *("-lssl3", "-lnss3", "-lnssutil3", "-lnspr4"),
    ),
    # Debian's build of it for Android's tools, with OpenSSL's functions.
    "boringssl": ("-I/usr/include/android", f"-L{ANDROID}", f"-Wl,-rpath,{ANDROID}", "-lssl", "-lcrypto"),
    "wolfssl": ("-lwolfssl",),
    "mbedtls": ("-lmbedtls", "-lmbedx509", "-lmbedcrypto"),
    "toy": (),
}
"""What a library's driver is compiled and linked with."""

_SOURCE_OF = {
    "boringssl": SOURCES / "openssl.c",
    "wolfssl": EXAMPLES / "tlstap-wolfssl/driver.c",
    "mbedtls": EXAMPLES / "tlstap-mbedtls/driver.c",
}


def compile_driver(folder: Path, library: str) -> Path:
    """The driver for a library, compiled on first use."""
    program = folder / f"{library}-driver"
    if not program.exists():
        source = _SOURCE_OF.get(library, SOURCES / f"{library}.c")
        include = f"-I{DRIVER_HEADER.parents[2]}"
        command = ["gcc", *FLAGS, include, "-o", program, source, *LIBRARIES[library], "-lpthread"]
        subprocess.run([str(part) for part in command], check=True)
    return program
