"""tlstap on Debian's stock kernels, each in an emulated machine that shares this one's files.

`python -m tests.kernels.run [VERSION ...]` as root, for example `6.1` or `6.16`; by default those of
packages.SERIES. Exit status 0: every check of every kernel passed.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kernels import initramfs, packages
from tests.support.wait import wait_until

CHECKOUT = Path(__file__).parents[2]
VIRTIOFSD = (Path("/usr/lib/qemu/virtiofsd"), Path("/usr/libexec/virtiofsd"))
MEMORY = "2G"
SECONDS = 600
"""For all checks in one guest; under plain emulation they take a minute or two."""


def main() -> int:
    """Run the checks in one guest after the other."""
    try:
        _require()
    except RuntimeError as error:
        sys.exit(str(error))
    versions = sys.argv[1:] or [series.version for series in packages.SERIES]
    failed = [version for version in versions if not _passes(version)]
    return 1 if failed else 0


def _passes(version: str) -> bool:
    """Whether the newest kernel of a series passes; what was found is printed."""
    began = time.monotonic()
    try:
        kernel = packages.fetch(packages.series_of(version))
        results = run_guest(kernel)
    except RuntimeError as error:
        print(f"Linux {version}\n  FAILED {error}", flush=True)
        return False
    print(f"Linux {kernel.release} ({time.monotonic() - began:.0f} s)")
    for result in results:
        print(f"  {'ok    ' if result['ok'] else 'FAILED'} {result['name']}: {result['text']}")
    sys.stdout.flush()
    return all(result["ok"] for result in results)


def _require() -> None:
    if os.geteuid() != 0:
        raise RuntimeError("the file system is shared by root only; run this as root")
    if platform.machine() != "x86_64":
        raise RuntimeError(f"there are only x86-64 guests here; this machine is {platform.machine()}")
    if Path("/").stat().st_dev != CHECKOUT.stat().st_dev:
        raise RuntimeError(f"{CHECKOUT} is not on the root file system, which is what a guest sees")
    if not shutil.which("qemu-system-x86_64"):
        raise RuntimeError("qemu-system-x86_64 is missing; apt-get install qemu-system-x86 busybox-static")


def run_guest(kernel: packages.Kernel) -> list[dict[str, str | bool]]:
    """Boot, check, power off; the results, with a failed one if the guest did not come to its end."""
    python = Path(sys.prefix) / "bin/python"
    guest = f"{shlex.quote(str(python))} -m tests.kernels.guest /dev/ttyS1"
    command = (
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8\n"
        f"export PYTHONDONTWRITEBYTECODE=1\ncd {shlex.quote(str(CHECKOUT))} && {guest}\n"
    )
    with tempfile.TemporaryDirectory(prefix="tlstap-kernels-") as name:
        folder = Path(name)
        initramfs.build(kernel, command, folder / "initramfs")
        with _shared_root(folder) as socket:
            timed_out = _boot(kernel, folder, socket)
        lines = (folder / "report").read_bytes().splitlines()
        results: list[dict[str, str | bool]] = [json.loads(line) for line in lines if line.endswith(b"}")]
        if results and results[-1]["name"] == "end":
            return results[1:-1]
        console = (folder / "console").read_text(errors="replace")[-3000:]
        why = f"no end within {SECONDS} s" if timed_out else "the guest ended early"
        return [*results[1:], {"name": "guest", "ok": False, "text": f"{why}; its console:\n{console}"}]


@contextlib.contextmanager
def _shared_root(folder: Path) -> Iterator[Path]:
    """Share / read-only, without what is mounted below it; the daemon's socket."""
    daemon = next((path for path in VIRTIOFSD if path.exists()), None)
    if daemon is None:
        raise RuntimeError("virtiofsd is missing; apt-get install virtiofsd (or qemu-system-common)")
    socket, view = folder / "socket", folder / "root"
    view.mkdir()
    # In a mount namespace of its own, so that nothing is left behind.
    script = (
        'mount --bind / "$1" && mount -o remount,bind,ro "$1" && exec "$2" "$3" -o "source=$1,cache=always"'
    )
    arguments = [str(view), str(daemon), f"--socket-path={socket}"]
    with (folder / "virtiofsd.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, "sh", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: socket.exists() or process.poll() is not None, "virtiofsd")
        if process.poll() is not None:
            raise RuntimeError(f"virtiofsd: {(folder / 'virtiofsd.log').read_text()}")
        yield socket
    finally:
        process.terminate()
        process.wait()


def _boot(kernel: packages.Kernel, folder: Path, socket: Path) -> bool:
    """Run the machine until it powers off; whether that took too long."""
    options = {
        "-accel": "tcg",
        "-cpu": "max",
        "-m": MEMORY,
        "-object": f"memory-backend-memfd,id=memory,size={MEMORY},share=on",
        "-numa": "node,memdev=memory",
        "-chardev": f"socket,id=files,path={socket}",
        "-device": "vhost-user-fs-pci,chardev=files,tag=root",
        "-kernel": kernel.image,
        "-initrd": folder / "initramfs",
        "-append": "console=ttyS0 quiet panic=-1",
        "-display": "none",
    }
    command = ["qemu-system-x86_64", "-nodefaults", "-no-reboot"]
    command += [str(part) for option in options.items() for part in option]
    command += ["-serial", f"file:{folder / 'console'}", "-serial", f"file:{folder / 'report'}"]
    with (folder / "qemu.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        process.wait(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return True
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise RuntimeError(f"qemu: {(folder / 'qemu.log').read_text()}")
    return False


if __name__ == "__main__":
    sys.exit(main())
