"""A certificate authority and a server certificate of the tests' own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority, and a certificate with key for localhost, 127.0.0.1 and ::1."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Make them in `folder` with the openssl command."""
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    certificate, key, request = folder / "server.pem", folder / "server.key", folder / "server.csr"
    extensions = folder / "extensions"
    # Python from 3.13 on is strict about what an authority and its certificates must say.
    extensions.write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n"
        "basicConstraints=critical,CA:FALSE\n"
        "keyUsage=critical,digitalSignature\n"
        "subjectKeyIdentifier=hash\n"
        "authorityKeyIdentifier=keyid\n"
    )
    usage: list[str | Path] = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    new_key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _openssl(
        "req",
        "-x509",
        *new_key,
        *usage,
        "-keyout",
        ca_key,
        "-out",
        ca,
        "-days",
        "30",
        "-subj",
        "/CN=tlstap tests",
    )
    _openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
    signed_by: list[str | Path] = [
        "-CA",
        ca,
        "-CAkey",
        ca_key,
        "-CAcreateserial",
        "-days",
        "30",
        "-extfile",
        extensions,
    ]
    _openssl("x509", "-req", "-in", request, "-out", certificate, *signed_by)
    for file in folder.iterdir():
        file.chmod(0o644)
    return Certificates(ca, certificate, key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
