"""The command under tlstap: held back, released, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.wait import wait_until

from tlstap.errors import TlstapError
from tlstap.tracing.child import Child

Make = Callable[..., Child]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes children, and closes them at the end unless the test did."""
    children: list[Child] = []

    def make_(*argv: str) -> Child:
        children.append(Child(argv))
        return children[-1]

    yield make_
    for child in children:
        if child.status is None:
            child.send(signal.SIGKILL)
            child.wait()


def descriptors() -> dict[str, str]:
    """The open descriptors of this process and what they are."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink():
            found[entry.name] = str(entry.readlink())
    return {number: target for number, target in found.items() if not target.startswith("/proc/")}


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 128 + signal.SIGTERM),
        ("kill -KILL $$", 128 + signal.SIGKILL),
        ("exit 255", 255),
    ],
)
def test_statuses_are_those_of_a_shell(make: Make, script: str, status: int) -> None:
    child = make("sh", "-c", script)
    assert child.status is None
    child.release()
    child.wait()
    assert child.status == status
    assert child.poll()
    child.close()


def test_it_does_nothing_until_it_is_released(make: Make, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    child = make("sh", "-c", f"echo $$ >{mark}")
    assert Path(f"/proc/{child.pid}/exe").readlink() == Path("/proc/self/exe").readlink()
    assert not child.poll()
    assert not mark.exists()
    child.release()
    child.wait()
    assert mark.read_text() == f"{child.pid}\n", "the same process becomes the command"
    child.close()


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(TlstapError, match=r"^no-such-command: no such command") as caught:
        Child(["no-such-command"])
    assert caught.value.exit_status == 1


def test_a_file_that_is_not_executable(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("")
    with pytest.raises(TlstapError, match="not executable"):
        Child([str(file)])


@pytest.mark.parametrize(
    ("content", "words"), [("#!/no/such/interpreter\n", "No such file"), ("\x7fELF", "Exec format error")]
)
def test_what_the_kernel_cannot_execute(make: Make, tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "broken"
    file.write_text(content)
    file.chmod(0o755)
    child = make(str(file))
    with pytest.raises(TlstapError, match=f"^{file}: {words}"):
        child.release()
    assert child.status == 127
    child.close()


def test_never_released_it_ends_and_leaves_nothing(make: Make) -> None:
    before = descriptors()
    child = make("sleep", "1000")
    child.close()
    assert not Path(f"/proc/{child.pid}").exists()
    assert descriptors() == before


def test_a_released_one_leaves_nothing_either(make: Make) -> None:
    before = descriptors()
    child = make("true")
    child.release()
    child.wait()
    child.close()
    assert descriptors() == before


def test_closing_closes_nobody_elses_file(make: Make) -> None:
    """The numbers of its pipes may belong to somebody else by then."""
    child = make("true")
    child.release()
    child.wait()
    others = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
    child.close()
    assert all(os.fstat(other) for other in others)
    for other in others:
        os.close(other)


def test_the_end_can_be_waited_for_by_its_descriptor(make: Make) -> None:
    child = make("sleep", "1000")
    child.release()
    assert not child.poll()
    child.terminate()
    wait_until(child.poll, "the command to end")
    assert child.status == 128 + signal.SIGTERM
    child.terminate()  # of what has ended already: nothing
    child.close()


def test_a_signal_that_was_ignored_by_tlstap_is_not_ignored_by_the_command(make: Make) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = make("sleep", "1000")
        child.release()
        child.send(signal.SIGINT)
        child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert child.status == 128 + signal.SIGINT
    child.close()


def test_the_command_inherits_no_more_descriptors_than_without_tlstap(make: Make, tmp_path: Path) -> None:
    script = "import os, sys; open(sys.argv[1], 'w').write(' '.join(os.listdir('/proc/self/fd')))"
    argv = [sys.executable, "-I", "-c", script]
    plain, output = tmp_path / "plain", tmp_path / "output"
    subprocess.run([*argv, str(plain)], check=True, close_fds=False)
    child = make(*argv, str(output))
    child.release()
    child.wait()
    child.close()
    assert output.read_text().split() == plain.read_text().split()
