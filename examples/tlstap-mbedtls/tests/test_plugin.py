"""The plugin without traffic: it is found, and so are its functions in this machine's library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import tlstap_mbedtls

TLSTAP = Path(sys.executable).parent / "tlstap"
FILE = "libmbedtls.so"
FUNCTIONS = {
    "mbedtls_ssl_read",
    "mbedtls_ssl_write",
    "mbedtls_ssl_handshake",
    "mbedtls_ssl_init",
    "mbedtls_ssl_session_reset",
    "mbedtls_ssl_free",
    "mbedtls_ssl_set_hostname",
}


@pytest.fixture(scope="module")
def library() -> str:
    """The library's file, as the system's loader finds it."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    found = re.search(rf"\t{re.escape(FILE)}\S* .* => (\S+)", known)
    assert found, f"no {FILE} is installed"
    return found[1]


@pytest.fixture(scope="module")
def inspected(library: str) -> dict[str, Any]:
    """What tlstap finds in it."""
    output = subprocess.run([TLSTAP, "inspect", "--json", library], capture_output=True, check=True).stdout
    [found] = json.loads(output)["libraries"]
    assert isinstance(found, dict)
    return found


def test_entry_point() -> None:
    [point] = entry_points(group="tlstap", name="mbedtls")
    assert point.load() is tlstap_mbedtls


def test_tlstap_loads_it() -> None:
    output = subprocess.run([TLSTAP, "plugins"], capture_output=True, text=True, check=True)
    lines = [line.split() for line in output.stdout.splitlines()]
    assert ["mbedtls", "tlstap-mbedtls", "0.1.0", "libraries", "mbedtls"] in lines
    assert output.stderr == ""


def test_library(inspected: dict[str, Any]) -> None:
    assert inspected["name"] == "mbedtls"
    assert re.fullmatch(r"\d+\.\d+\.\d+", inspected["version"])


def test_functions(inspected: dict[str, Any]) -> None:
    assert {function["name"] for function in inspected["functions"]} >= FUNCTIONS
