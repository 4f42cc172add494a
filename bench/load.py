"""The load: wrk against nginx, and a large download by curl. Each end that is not traced has other library
files, so that probes on the traced end's library do not slow it down."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.curl import curl_command
from tests.support.fixtures import system_library
from tests.support.nginx import Nginx

CONNECTIONS = 50


@dataclass(frozen=True)
class WrkResult:
    """What wrk says: requests, and requests per second."""

    requests: int
    rate: float


def private_libraries(folder: Path) -> Path:
    """Copies of libssl and libcrypto in `folder`, for LD_LIBRARY_PATH."""
    folder.mkdir()
    for name in ("libssl.so.3", "libcrypto.so.3"):
        shutil.copy(system_library(name), folder / name)
    return folder


def wrk(nginx: Nginx, path: str, seconds: float, libraries: Path) -> WrkResult:
    """wrk with one thread and 50 connections that stay open."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", nginx.url(path)]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    requests = re.search(r"(\d+) requests in ", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not requests or not rate or "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"wrk: {text}")
    return WrkResult(int(requests[1]), float(rate[1]))


def download(nginx: Nginx) -> float:
    """curl fetches the 64 MiB file; seconds it took."""
    began = time.monotonic()
    subprocess.run(curl_command(nginx, nginx.url("/big.bin"), "-o", "/dev/null"), check=True)
    return time.monotonic() - began
