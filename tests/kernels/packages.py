"""Debian's stock kernels, downloaded without touching the machine's own packages."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.cache import cache_folder
from tests.support.debian import private_apt, run

_NAME = re.compile(r"linux-(?:image|binary|modules)-(.+)-cloud-amd64")

NEWEST = "newest"


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel: `release` as `uname -r` says it."""

    release: str
    image: Path
    modules: Path


@dataclass(frozen=True)
class Series:
    """Kernels whose version begins with `version` (or NEWEST: all), and the suites to look for them in."""

    version: str
    suites: tuple[str, ...]


SERIES = (
    Series("5.10", ("bullseye", "bullseye-security")),
    Series("6.1", ("bookworm", "bookworm-security")),
    Series("6.12", ("trixie", "trixie-security")),
    Series(NEWEST, ("trixie-backports",)),
)


def series_of(version: str) -> Series:
    """The series that a user names; one that is not listed is looked for in the newest suite."""
    return next((one for one in SERIES if one.version == version), Series(version, SERIES[-1].suites))


def fetch(series: Series) -> Kernel:
    """The newest kernel of the series, from the archive or, if it is the same still, from the cache.

    :raises RuntimeError: there is none, or it can't be downloaded.
    """
    kernels = cache_folder() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=kernels) as name:
        folder = Path(name)
        apt = private_apt(folder, series.suites)
        run(["apt-get", *apt, "-qq", "update"])
        names = run(["apt-cache", *apt, "pkgnames", "linux-"]).split()
        packages = _newest(names, series)
        root = kernels / _version(packages[0])
        if not root.exists():
            unpacked = folder / "root"
            run(["env", "-C", str(folder), "apt-get", *apt, "-qq", "download", *packages])
            for file in folder.glob("*.deb"):
                run(["dpkg-deb", "--extract", str(file), str(unpacked)])
            unpacked.chmod(0o755)
            unpacked.rename(root)
    return _kernel(root)


def _newest(names: list[str], series: Series) -> list[str]:
    """The packages that make up the newest kernel: one, or an image's with its binary and modules."""
    # A kernel has three numbers; "6.1" alone stands for the newest one.
    wanted = r"\d+" if series.version == NEWEST else re.escape(series.version)
    prefix = re.compile(rf"(?=\d+\.\d+\.\d+){wanted}[.+-]")
    ours = [name for name in names if prefix.match(_version(name))]
    if not ours:
        raise RuntimeError(f"no kernel {series.version} in {', '.join(series.suites)}")
    newest = max(map(_version, ours), key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
    return sorted(name for name in ours if _version(name) == newest)


def _version(package: str) -> str:
    """What stands for the version in a package's name; nothing if it is no kernel's."""
    match = _NAME.fullmatch(package)
    return match[1] if match else ""


def _kernel(root: Path) -> Kernel:
    """Packages differ in where they put things: boot/vmlinuz-R, or vmlinuz among the modules."""
    [modules] = [folder.parent for folder in root.rglob("kernel") if folder.parts[-3] == "modules"]
    [image] = [file for file in root.rglob("vmlinuz*") if file.is_file()]
    return Kernel(modules.name, image, modules)
