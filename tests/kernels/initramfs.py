"""The first file system of a guest: busybox and the modules that it takes to mount the host's root."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import zstandard

from tests.kernels.packages import Kernel

MODULES = ("virtio_pci", "virtiofs", "overlay")

# The host's files are read-only; what the guest writes goes to its memory.
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir /bin/applets
/bin/busybox --install -s /bin/applets
export PATH=/bin/applets
mkdir /proc /host /writable /root
mount -t proc proc /proc
while read -r module; do insmod "/modules/$module" || echo "no module $module"; done </modules/order
mount -t virtiofs -o ro root /host || exec poweroff -f
mount -t tmpfs tmpfs /writable
mkdir /writable/upper /writable/work
mount -t overlay -o lowerdir=/host,upperdir=/writable/upper,workdir=/writable/work overlay /root
cd /root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/shm
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
mount -t tracefs tracefs sys/kernel/tracing
mount -t debugfs debugfs sys/kernel/debug
ip link set lo up
cp /command run/command
chroot . /bin/sh /run/command
poweroff -f
"""


def build(kernel: Kernel, command: str, output: Path) -> None:
    """Write an initramfs that runs a shell command in the host's root file system and then ends.

    :raises RuntimeError: a program for it is missing.
    """
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        raise RuntimeError("/bin/busybox is missing; apt-get install busybox-static")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("bin", "modules", "dev"):
            (root / folder).mkdir()
        shutil.copy(busybox, root / "bin/busybox")
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        (root / "command").write_text(command)
        order = _copy_modules(kernel, root / "modules")
        (root / "modules/order").write_text("".join(f"{one}\n" for one in order))
        files = "".join(f"{file.relative_to(root)}\n" for file in sorted(root.rglob("*")))
        with output.open("wb") as archive:
            subprocess.run(
                ["busybox", "cpio", "-o", "-H", "newc"],
                cwd=root,
                input=files.encode(),
                stdout=archive,
                stderr=subprocess.PIPE,
                check=True,
            )


def _copy_modules(kernel: Kernel, folder: Path) -> list[str]:
    """Unpack the modules with what they depend on; their names in the order of loading."""
    available = {_plain(file.name.split(".ko")[0]): file for file in kernel.modules.rglob("*.ko*")}
    order: list[str] = []

    def add(name: str) -> None:
        if name in order or name not in available:  # built into the kernel
            return
        content = _content(available[name])
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in depends[1].decode().split(",") if depends else []:
            add(_plain(other))
        (folder / name).write_bytes(content)
        order.append(name)

    for name in MODULES:
        add(name)
    return order


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _content(file: Path) -> bytes:
    match file.suffix:
        case ".xz":
            return lzma.decompress(file.read_bytes())
        case ".zst":
            return zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes())
    return file.read_bytes()
