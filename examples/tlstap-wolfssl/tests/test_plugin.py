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
import tlstap_wolfssl

TLSTAP = Path(sys.executable).parent / "tlstap"
FILE = "libwolfssl.so"
FUNCTIONS = {
    "wolfSSL_read",
    "wolfSSL_write",
    "wolfSSL_connect",
    "wolfSSL_accept",
    "wolfSSL_new",
    "wolfSSL_free",
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
    [point] = entry_points(group="tlstap", name="wolfssl")
    assert point.load() is tlstap_wolfssl


def test_tlstap_loads_it() -> None:
    output = subprocess.run([TLSTAP, "plugins"], capture_output=True, text=True, check=True)
    lines = [line.split() for line in output.stdout.splitlines()]
    assert ["wolfssl", "tlstap-wolfssl", "0.1.0", "libraries", "wolfssl"] in lines
    assert output.stderr == ""


def test_library(inspected: dict[str, Any]) -> None:
    assert inspected["name"] == "wolfssl"
    assert re.fullmatch(r"\d+\.\d+\.\d+", inspected["version"])


def test_functions(inspected: dict[str, Any]) -> None:
    assert {function["name"] for function in inspected["functions"]} >= FUNCTIONS
