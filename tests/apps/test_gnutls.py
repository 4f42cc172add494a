"""Debian's programs that use GnuTLS, with nginx at the other end: both ends' plaintext is the same."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.debian import private_apt
from tests.support.ends import clients, only_client, plain_environment, run, targets
from tests.support.fixtures import RunTlstap
from tests.support.gnutls import GnuTls, available
from tests.support.nginx import JSON, RANDOM, UPLOADED, Nginx
from tests.support.wget import wget_command, wget_request

REQUEST = b"GET /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return plain_environment(tmp_path)


@pytest.fixture
def newer() -> GnuTls:
    """GnuTLS 3.8; the test fails if it can't be had."""
    try:
        return available()
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)


def system_version() -> str:
    """The system's GnuTLS."""
    output = subprocess.run(["gnutls-cli", "--version"], capture_output=True, text=True, check=True).stdout
    return output.split()[1]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_wget(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], version: str) -> None:
    port = {"1.2": nginx.tls12_port, "1.3": nginx.tls13_port}[version]
    with tlstap("-c", "wget", "-c", "nginx") as tracer:
        response = run(wget_command(nginx, nginx.url("/json", port=port)), environment)
    client = only_client(tracer, nginx)

    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.endswith(b"\r\n\r\n" + JSON)
    assert (client.written, client.read) == (wget_request("/json", port), response)
    assert client.ports[1] == port
    assert (client.process.comm, client.process.exe) == ("wget", "/usr/bin/wget")
    assert (client.library.name, client.library.version) == ("gnutls", system_version())
    assert client.connection.tls_version in (None, f"TLSv{version}")
    assert client.connection.sni is None
    assert targets(tracer, client) == [("/json", 200)]


def test_wget_names_the_server(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str]) -> None:
    with tlstap("-c", "wget", "-c", "nginx") as tracer:
        run(wget_command(nginx, "-4", nginx.url("/json", "localhost")), environment)
    client = only_client(tracer, nginx)
    assert client.written == wget_request("/json", nginx.port, "localhost")
    assert client.connection.sni == "localhost"


def test_wget_long_body(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str]) -> None:
    with tlstap("-c", "wget", "-c", "nginx") as tracer:
        response = run(wget_command(nginx, nginx.url("/random.bin")), environment)
    client = only_client(tracer, nginx)
    assert response.endswith(b"\r\n\r\n" + RANDOM)
    assert client.read == response


def test_wget_upload(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], tmp_path: Path) -> None:
    body = hashlib.shake_256(b"wget").digest(2_000_000)
    (tmp_path / "body").write_bytes(body)
    with tlstap("-c", "wget", "-c", "nginx") as tracer:
        response = run(
            wget_command(nginx, f"--post-file={tmp_path / 'body'}", nginx.url("/upload")), environment
        )
    client = only_client(tracer, nginx)
    head, _, sent = client.written.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /upload HTTP/1.1\r\n")
    assert sent == body
    assert response.endswith(b"\r\n\r\n" + UPLOADED)
    assert client.read == response


@pytest.fixture
def repository(nginx: Nginx, environment: dict[str, str], tmp_path: Path) -> tuple[str, str]:
    """A repository that nginx serves as plain files: its path there, and its commit."""
    bare, work = nginx.folder / "files" / f"{tmp_path.name}.git", tmp_path / "work"
    git = ["git", "-C", str(work), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    run(["git", "init", "-q", "--bare", bare], environment)
    run(["git", "init", "-q", work], environment)
    (work / "random").write_bytes(RANDOM)
    run([*git, "add", "random"], environment)
    run([*git, "commit", "-q", "-m", "one"], environment)
    run([*git, "push", "-q", str(bare), "HEAD:refs/heads/master"], environment)
    run(["git", "-C", bare, "update-server-info"], environment)
    return f"/{bare.name}", run([*git, "rev-parse", "HEAD"], environment).decode().strip()


def test_git_ls_remote(
    tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], repository: tuple[str, str]
) -> None:
    path, commit = repository
    environment["GIT_SSL_CAINFO"] = str(nginx.certificates.authority)
    with tlstap("-c", "git-remote-http", "-c", "nginx") as tracer:
        output = run(["git", "ls-remote", nginx.url(path)], environment)
    client = only_client(tracer, nginx)

    assert output.decode() == f"{commit}\tHEAD\n{commit}\trefs/heads/master\n"
    assert client.process.comm == "git-remote-http"
    assert client.process.exe is not None
    assert client.process.exe.startswith("/usr/lib/git-core/git-remote-http")
    assert client.library.name == "gnutls"
    assert client.connection.tls_version == "TLSv1.3"
    refs = f"{path}/info/refs"
    asked = [(f"{refs}?service=git-upload-pack", 200), (f"{path}/HEAD", 200)]
    assert targets(tracer, client) == asked
    assert client.written.startswith(f"GET {refs}?service=git-upload-pack HTTP/1.1\r\n".encode())
    assert client.read.endswith(b"\r\n\r\nref: refs/heads/master\n")
    assert b"\r\n\r\n" + f"{commit}\trefs/heads/master\n".encode() in client.read


def test_git_clone(
    tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], repository: tuple[str, str], tmp_path: Path
) -> None:
    """Each object is fetched, perhaps over several connections."""
    path, commit = repository
    environment["GIT_SSL_CAINFO"] = str(nginx.certificates.authority)
    with tlstap("-c", "git-remote-http", "-c", "nginx") as tracer:
        run(["git", "clone", "-q", nginx.url(path), tmp_path / "clone"], environment)
    found = clients(tracer, nginx)

    assert (tmp_path / "clone/random").read_bytes() == RANDOM
    asked = [target for client in found for target, _ in targets(tracer, client)]
    assert f"{path}/objects/{commit[:2]}/{commit[2:]}" in asked
    assert sum(len(client.read) for client in found) > len(RANDOM)


def test_apt(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], tmp_path: Path) -> None:
    """apt's https method, for an apt of its own that knows nothing but one small repository."""
    packages = b"".join(b"%s: tlstap\n" % name for name in (b"Package", b"Version", b"Architecture"))
    repository = nginx.folder / "files" / f"{tmp_path.name}-apt"
    repository.mkdir()
    (repository / "Packages").write_bytes(packages)
    digest = hashlib.sha256(packages).hexdigest()
    release = f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {digest} {len(packages)} Packages\n"
    (repository / "Release").write_text(release)
    options = private_apt(tmp_path / "apt", ())
    (tmp_path / "apt/sources.list").write_text(f"deb [trusted=yes] {nginx.url(f'/{repository.name}')} ./\n")
    options += [f"-oAcquire::https::CaInfo={nginx.certificates.authority}", "-oAcquire::https::Proxy=DIRECT"]
    with tlstap("-c", "https", "-c", "nginx") as tracer:
        run(["apt-get", *options, "-qq", "update"], environment)
    client = only_client(tracer, nginx)

    assert (client.process.comm, client.library.name) == ("https", "gnutls")
    assert client.process.exe is not None
    assert client.process.exe.startswith("/usr/lib/apt/methods/http")
    folder = f"/{repository.name}/."
    assert targets(tracer, client) == [
        (f"{folder}/InRelease", 404),
        (f"{folder}/Release", 200),
        (f"{folder}/Release.gpg", 404),
        (f"{folder}/Packages", 200),
    ]
    assert client.read.endswith(b"\r\n\r\n" + packages)
    assert b"\r\n\r\n" + release.encode() + b"HTTP/1.1 404" in client.read


def test_aria2_in_parallel(
    tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], tmp_path: Path
) -> None:
    """Four downloads at once in one thread, each with a connection of its own."""
    contents = {f"part-{number}": RANDOM[: 60_000 * (number + 1)] for number in range(4)}
    folder = nginx.folder / "files" / f"{tmp_path.name}-aria2"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    urls = [nginx.url(f"/{folder.name}/{name}") for name in contents]
    (tmp_path / "urls").write_text("".join(f"{url}\n" for url in urls))
    options = ["--no-conf", "--quiet", "--file-allocation=none", "-j4", "-U", "tests", "-d", str(tmp_path)]
    authority = f"--ca-certificate={nginx.certificates.authority}"
    with tlstap("-c", "aria2c", "-c", "nginx") as tracer:
        run(["aria2c", *options, authority, "-i", tmp_path / "urls"], environment)
    found = clients(tracer, nginx)

    assert sorted(client.read.partition(b"\r\n\r\n")[2] for client in found) == sorted(contents.values())
    assert len({client.process.pid for client in found}) == 1
    for client in found:
        [(target, status)] = targets(tracer, client)
        name = target.removeprefix(f"/{folder.name}/")
        assert status == 200
        assert client.read.endswith(b"\r\n\r\n" + contents[name])
        assert client.written.startswith(f"GET {target} HTTP/1.1\r\nUser-Agent: tests\r\n".encode())
        assert (client.process.comm, client.process.exe) == ("aria2c", "/usr/bin/aria2c")
        assert client.library.name == "gnutls"


def ask_by_stdin(command: Sequence[str | Path], environment: dict[str, str]) -> bytes:
    """Run gnutls-cli; it gets the request from stdin, which stays open until the server ends."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(REQUEST)
        process.stdin.flush()
        response = process.stdout.read()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()
    return response


def gnutls_cli(nginx: Nginx, port: int, tmp_path: Path) -> list[str | Path]:
    """Arguments with which it prints nothing but what it receives."""
    authority = nginx.certificates.authority
    return ["--logfile", tmp_path / "log", "--x509cafile", authority, "-p", str(port), "localhost"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_gnutls_cli(
    tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], tmp_path: Path, version: str
) -> None:
    port = {"1.2": nginx.tls12_port, "1.3": nginx.tls13_port}[version]
    with tlstap("-c", "gnutls-cli", "-c", "nginx") as tracer:
        response = ask_by_stdin(["gnutls-cli", *gnutls_cli(nginx, port, tmp_path)], environment)
    client = only_client(tracer, nginx)

    assert response.endswith(b"\r\n\r\n" + JSON)
    assert (client.written, client.read) == (REQUEST, response)
    assert (client.process.comm, client.process.exe) == ("gnutls-cli", "/usr/bin/gnutls-cli")
    assert client.library.version == system_version()
    assert client.connection.tls_version == f"TLSv{version}"
    assert client.connection.sni == "localhost"


def test_newer_gnutls_cli(
    tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], tmp_path: Path, newer: GnuTls
) -> None:
    command = newer.gnutls_cli(*gnutls_cli(nginx, nginx.port, tmp_path))
    with newer.in_use(), tlstap("-c", Path(command[0]).name[:15], "-c", "nginx") as tracer:
        response = ask_by_stdin(command, environment)
    client = only_client(tracer, nginx)

    assert response.endswith(b"\r\n\r\n" + JSON)
    assert (client.written, client.read) == (REQUEST, response)
    assert (client.library.version, client.library.path) == (newer.version, str(newer.library))
    assert (client.connection.tls_version, client.connection.sni) == ("TLSv1.3", "localhost")


def test_newer_wget(tlstap: RunTlstap, nginx: Nginx, environment: dict[str, str], newer: GnuTls) -> None:
    command = newer.wget(*wget_command(nginx)[1:], nginx.url("/random.bin"))
    with newer.in_use(), tlstap("-c", Path(command[0]).name[:15], "-c", "nginx") as tracer:
        response = run(command, environment)
    client = only_client(tracer, nginx)

    assert response.endswith(b"\r\n\r\n" + RANDOM)
    assert (client.written, client.read) == (wget_request("/random.bin", nginx.port), response)
    assert (client.library.version, client.library.path) == (newer.version, str(newer.library))
