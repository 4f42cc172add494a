"""Fixtures of the tests that use real probes. Their folders' conftest.py imports them."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.all_formats import run_in_all_formats
from tests.support.certificates import Certificates, make_certificates
from tests.support.nginx import Nginx, run_nginx
from tests.support.programs import Programs
from tests.support.tracer import Tracer, run_tlstap

RunTlstap = Callable[..., AbstractContextManager[Tracer]]


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    """These tests load BPF programs."""
    if os.geteuid() != 0:
        pytest.fail("needs root; `make test` sees to that", pytrace=False)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate authority and a server certificate."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Nginx]:
    """An nginx with one worker; tests tell their connections by ports."""
    with run_nginx(tmp_path_factory.mktemp("nginx"), certificates) as server:
        yield server


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Compiles the C programs."""
    return Programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def tlstap(tmp_path: Path) -> RunTlstap:
    """`with tlstap("-p", pid) as tracer: ...`, then `tracer.events`."""
    numbers = itertools.count()

    def run(
        *arguments: str | int | Path, stop: signal.Signals = signal.SIGTERM
    ) -> AbstractContextManager[Tracer]:
        return run_tlstap(tmp_path / f"events-{next(numbers)}.json", *arguments, stop=stop)

    return run


@pytest.fixture
def tlstap_all_formats(tmp_path: Path) -> RunTlstap:
    """The same, in all formats; at the end a replay must give the same in all of them."""
    numbers = itertools.count()

    def run(*arguments: str | int | Path) -> AbstractContextManager[Tracer]:
        folder = tmp_path / f"formats-{next(numbers)}"
        folder.mkdir()
        return run_in_all_formats(folder, *arguments)

    return run


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """An empty folder for a program's records."""
    folder = tmp_path / "records"
    folder.mkdir()
    return folder


@pytest.fixture
def own_libraries(tmp_path: Path) -> Path:
    """A folder with copies of the system's libssl and libcrypto: other files, so nobody else's traffic."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    for name in ("libssl.so.3", "libcrypto.so.3"):
        shutil.copy(system_library(name), folder / name)
    return folder


def system_library(name: str) -> Path:
    """A shared library of the system's, by its soname."""
    folders = ("/usr/lib", "/usr/lib64", f"/usr/lib/{os.uname().machine}-linux-gnu")
    for folder in folders:
        if (Path(folder) / name).exists():
            return Path(folder) / name
    raise AssertionError(f"{name} is in none of {folders}")
