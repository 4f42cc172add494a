"""Chromium without a window: loads a page of a local server and ends; off the network, in its own profile."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.groups import group
from tests.support.wait import wait_until

EXECUTABLE = Path("/usr/lib/chromium/chromium")
"""What Debian's /usr/bin/chromium, a script, runs."""

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # these tests are root's
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",
    "--no-proxy-server",
    # No other name has an address, so nothing reaches the network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
_NETWORK_SERVICE = b"--utility-sub-type=network.mojom.NetworkService"
_UNSEEN = -1


@dataclass(frozen=True)
class Visit:
    """A page that was loaded: the process ids of the browser and of its network service, and the DOM then."""

    pid: int
    network_pid: int
    dom: str


def command(url: str, folder: Path) -> list[str]:
    """A command that loads a page with all that belongs to it and prints the DOM.

    :param folder: for the profile; it must be empty.
    """
    assert EXECUTABLE.exists(), "there is no Chromium; `make test` installs it"
    return [str(EXECUTABLE), *_OPTIONS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", url]


def command_to_debug(folder: Path) -> list[str]:
    """A command that waits for whoever debugs it; the profile's DevToolsActivePort says on which port.

    :param folder: for the profile; it must be empty.
    """
    assert EXECUTABLE.exists(), "there is no Chromium; `make test` installs it"
    profile = f"--user-data-dir={folder / 'profile'}"
    return [str(EXECUTABLE), *_OPTIONS, profile, "--remote-debugging-port=0", "about:blank"]


def environment(folder: Path) -> dict[str, str]:
    """For that command."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}


def visit(url: str, folder: Path) -> Visit:
    """Load a page with all that belongs to it; returns when all of Chromium has ended.

    :param folder: an empty folder for the profile and whatever else Chromium writes.
    :raises AssertionError: it failed, or took longer than a minute.
    """
    dom, log = folder / "dom", folder / "log"
    with group(command(url, folder), environment(folder), dom, log) as process:
        network_pid = wait_until(
            lambda: _network_service(process) or (process.poll() is not None and _UNSEEN),
            "Chromium's network service",
            60,
        )
        status = process.wait(timeout=60)
    assert network_pid != _UNSEEN, (
        f"no network service; Chromium's exit status is {status}: {log.read_text()}"
    )
    assert status == 0, f"Chromium's exit status is {status}: {log.read_text()}"
    return Visit(process.pid, network_pid, dom.read_text())


def _network_service(browser: subprocess.Popen[bytes]) -> int:
    """The process id of the network service, a child of the browser's; 0 while there is none."""
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{browser.pid}/task").glob("*/children"):
            for child in children.read_text().split():
                # Chromium's processes soon join their arguments by spaces.
                if _NETWORK_SERVICE in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return 0
