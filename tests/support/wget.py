"""wget, which uses GnuTLS on Debian, with a record of the exact bytes that it received."""

from __future__ import annotations

from tests.support.nginx import Nginx


def wget_command(nginx: Nginx, *arguments: str) -> list[str]:
    """A command that gives out the answer exactly as it comes, head and all."""
    options = ["--no-config", "--no-hsts", "--no-proxy", "--quiet", "--user-agent", "tests", "--save-headers"]
    authority = f"--ca-certificate={nginx.certificates.authority}"
    return ["wget", *options, authority, "-O", "-", *arguments]


def wget_request(target: str, port: int, host: str = "127.0.0.1") -> bytes:
    """What that command sends, byte by byte."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}:{port}",
        "User-Agent: tests",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: Keep-Alive",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
