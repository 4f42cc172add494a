from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.discovery.elves import AARCH64, elf_bytes
from tests.unit.discovery.test_analysis import library, located, nobody

from tlstap.discovery import ldcache, scan
from tlstap.discovery.analysis import Locator
from tlstap.discovery.cache import ReportCache
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.scan import Image, Scanner
from tlstap.errors import ElfError
from tlstap.library import Library, VersionString

LOADER = "import ctypes, sys\nfor path in sys.argv[1:]: ctypes.CDLL(path)\nprint('ready', flush=True)\n"
LOADER += "for line in sys.stdin:\n    ctypes.CDLL(line.rstrip('\\n'))\n    print('loaded', flush=True)\n"


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def mine(compile_c: Callable[..., Path], tmp_path: Path) -> Path:
    """A library with the functions of the declaration `library()`."""
    built = compile_c("int my_read(int x) { return x + 1; } int my_write(int x) { return x + 2; }")
    path = tmp_path / "libmine.so.1"
    shutil.copy(built, path)
    return path


@contextmanager
def process(*libraries: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has loaded these libraries, and loads more when told their paths."""
    command = [sys.executable, "-c", LOADER, *map(str, libraries)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


def load(child: subprocess.Popen[str], path: Path) -> None:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(f"{path}\n")
    child.stdin.flush()
    assert child.stdout.readline() == "loaded\n"


@contextmanager
def scanner(*libraries: Library, locator: Locator = nobody, cache: bool = False) -> Iterator[Scanner]:
    declared = libraries or (library(),)
    with Scanner(declared, locator, ReportCache(declared) if cache else None) as made:
        yield made


def paths(images: list[Image]) -> list[str]:
    return [image.path for image in images]


def test_finds_what_a_process_maps_once(mine: Path) -> None:
    with process(mine) as one, process(mine) as other, scanner() as scan_:
        assert paths(scan_.scan([one.pid, other.pid])) == [str(mine)]
        (image,) = scan_.images
        assert image.pids == {one.pid, other.pid}
        assert [found.name for found in image.report.libraries] == ["mine"]
        assert image.fd is not None
        assert os.fstat(image.fd).st_ino == mine.stat().st_ino
        assert scan_.scan([one.pid, other.pid]) == []


def test_finds_all_processes_but_itself(mine: Path) -> None:
    ctypes.CDLL(str(mine))
    with process(mine) as child, scanner() as scan_:
        (image,) = [image for image in scan_.scan() if image.path == str(mine)]
        assert image.pids == {child.pid}
        scan_.scan([os.getpid()])
        assert image.pids == {child.pid, os.getpid()}


def test_a_library_loaded_later(mine: Path) -> None:
    with process() as child, scanner() as scan_:
        assert scan_.scan([child.pid]) == []
        load(child, mine)
        assert paths(scan_.scan([child.pid])) == [str(mine)]


def test_unchanged_processes_are_not_read_again(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with process(mine) as child, scanner() as scan_:
        scan_.scan([child.pid])
        read: list[int] = []
        real = scan.processes.code_mappings
        monkeypatch.setattr(scan.processes, "code_mappings", lambda pid: (read.append(pid), real(pid))[1])
        scan_.scan([child.pid])
        assert read == []
        scan_.scan_pid(child.pid)
        assert read == [child.pid]
        assert scan_.images[0].pids == {child.pid}


def test_a_process_that_executes_another_program_or_ends(mine: Path) -> None:
    code = f"import ctypes, os; ctypes.CDLL({str(mine)!r}); print('ready', flush=True); os.read(0, 3); "
    code += "os.execv('/bin/cat', ['cat'])"
    with scanner() as scan_:
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None and child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            scan_.scan()
            (image,) = [image for image in scan_.images if image.path == str(mine)]
            assert image.pids == {child.pid}
            child.stdin.write("go\nhello\n")
            child.stdin.flush()
            assert child.stdout.readline() == "hello\n"
            scan_.scan()
            assert image.pids == set()
        with process(mine) as other:
            scan_.scan()
            assert image.pids == {other.pid}
        scan_.scan()
        assert image.pids == set()


def test_a_deleted_or_replaced_file_is_still_the_one_that_is_mapped(mine: Path) -> None:
    """Needs /proc/PID/map_files, so only root sees the deleted file."""
    content = mine.read_bytes()
    with process(mine) as child, scanner() as scan_:
        inode = mine.stat().st_ino
        mine.unlink()
        mine.write_bytes(content)
        scan_.scan([child.pid])
        if os.geteuid() == 0:
            (image,) = scan_.images
            assert image.fd is not None
            assert os.fstat(image.fd).st_ino == inode != mine.stat().st_ino
        else:
            assert scan_.images == []
            assert scan_.diagnostics.left_out["unreadable"].count == 1


def test_a_held_file_is_not_new_when_its_times_change(mine: Path, tmp_path: Path) -> None:
    """An upgrade unlinks the old library: the probes that are on it must not be placed twice."""
    with scanner() as scan_:
        scan_.scan_files([str(mine)])
        os.link(mine, tmp_path / "second")
        assert scan_.scan_files([str(tmp_path / "second"), str(mine)]) == []
        assert len(scan_.images) == 1


def test_files_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "text").write_text("text")
    (tmp_path / "cut").write_bytes(Path("/bin/sh").read_bytes()[:2000])
    with scanner() as scan_:
        assert scan_.scan_files([str(tmp_path / "text"), "/bin/sh"]) == []
        for name, problem in (("fifo", "regular file"), ("absent", "No such file"), ("cut", "would end")):
            with pytest.raises(ElfError, match=f"{name}: .*{problem}"):
                scan_.scan_files([str(tmp_path / name)])


def test_what_is_left_out_is_counted_with_an_example(tmp_path: Path) -> None:
    import mmap

    cut, foreign, script = tmp_path / "cut.so", tmp_path / "foreign.so", tmp_path / "script"
    cut.write_bytes(Path("/bin/sh").read_bytes()[:8192])
    content = bytearray(elf_bytes(b"\xc3" * 16, AARCH64))
    content[4] = 1
    foreign.write_bytes(content)
    script.write_text("text")
    areas = []
    for path in (cut, foreign, script):
        with path.open("rb") as file:
            areas.append(
                mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
            )
    with scanner() as scan_:
        for _ in range(2):
            scan_.scan_pid(os.getpid())
        left_out = scan_.diagnostics.left_out
        assert left_out.keys() == {"malformed", "foreign"}
        assert left_out["malformed"].count == left_out["foreign"].count == 1
        assert left_out["malformed"].example.startswith(f"{cut}: ")
        assert left_out["foreign"].example.startswith(f"{foreign}: ")
    for area in areas:
        area.close()


def test_a_process_that_vanishes_is_counted_only() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with scanner() as scan_:
        assert scan_.scan([child.pid]) == []
        assert scan_.diagnostics.vanished == 1
        assert scan_.diagnostics.left_out == {}


def test_tls_code_without_a_plugin_is_kept_without_an_open_file(compile_c: Callable[..., Path]) -> None:
    path = compile_c("int wolfSSL_read(void) { return 1; }")
    with scanner() as scan_:
        (image,) = scan_.scan_files([str(path)])
        assert (image.report.unsupported, image.fd) == (("wolfssl",), None)
        assert scan_.scan_files([str(path)]) == []


def test_close_closes_the_files(mine: Path) -> None:
    with scanner() as scan_:
        (image,) = scan_.scan_files([str(mine)])
        fd = image.fd
        assert fd is not None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


class Counting:
    """Counts how often an image is really analysed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = scan.analyse

        def analyse(image: ElfImage, *arguments: object) -> object:
            self.count += 1
            return real(image, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(scan, "analyse", analyse)


def test_the_next_run_takes_the_cache(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(monkeypatch)
    copy = tmp_path / "copy"
    for expected in (2, 2):
        with scanner(cache=True) as scan_:
            scan_.scan_files([str(mine), "/bin/sh"])
            assert paths(scan_.images) == [str(mine)]
            assert counting.count == expected
    shutil.copy(mine, copy)
    with scanner(cache=True) as scan_:
        scan_.scan_files([str(copy)])
        assert paths(scan_.images) == [str(copy)]
        assert counting.count == 2


def test_a_forged_build_id_gets_no_other_files_addresses(
    compile_c: Callable[..., Path], mine: Path, tmp_path: Path
) -> None:
    """Same build-id, same size, another place of the function: as a hostile container could have it."""
    forged = tmp_path / "forged.so"
    with ElfImage.open(str(mine)) as image:
        assert image.build_id is not None
        build_id = bytes.fromhex(image.build_id)
        address = image.symbols(["my_read"])["my_read"].address
    other = compile_c("int my_write(int x) { return x + 2; } int my_read(int x) { return x + 1; }")
    with ElfImage.open(str(other)) as image:
        assert image.build_id is not None
        forged.write_bytes(other.read_bytes().replace(bytes.fromhex(image.build_id), build_id))
        expected = image.symbols(["my_read"])["my_read"].address
    assert forged.stat().st_size == mine.stat().st_size and expected != address
    with scanner(cache=True) as scan_:
        scan_.scan_files([str(forged)])
    with scanner(cache=True) as scan_:
        for image_, right in zip(
            scan_.scan_files([str(mine), str(forged)]), (address, expected), strict=True
        ):
            function = image_.report.libraries[0].function("my_read")
            assert function is not None
            assert function.address == right


def test_a_changed_companion_is_read_again(compile_c: Callable[..., Path], tmp_path: Path) -> None:
    companion = tmp_path / "libother.so.2"
    main = tmp_path / "libmain.so"
    declared = library(version=VersionString(pattern=r"Mine (\d+\.\d+)", companion="libother.so"))
    for version in ("7.1", "7.2"):
        text = f'const char text[] = "Mine {version}";'
        shutil.copy(compile_c(text, "-Wl,-soname,libother.so.2"), tmp_path / "new")
        (tmp_path / "new").rename(companion)
        if not main.exists():
            source = "int my_read(int x) { return x; } int my_write(int x) { return x; }"
            shutil.copy(compile_c(source, "-Wl,--no-as-needed", str(companion)), main)
        with scanner(declared, cache=True) as scan_:
            (image,) = scan_.scan_files([str(main)])
            assert image.report.libraries[0].version == version


def test_libraries_that_the_loader_knows(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def known(sonames: set[str]) -> list[str]:
        asked.append(sonames)
        return [str(mine), str(mine.parent / "absent")]

    monkeypatch.setattr(ldcache, "known_libraries", known)
    with scanner(library(sonames=("libmine.so",))) as scan_:
        assert paths(scan_.scan_ldcache()) == [str(mine)]
        assert asked == [{"libmine.so"}]
        assert scan_.diagnostics.left_out["malformed"].count == 1


def test_parses_ldconfig() -> None:
    listing = (
        "3 libs found in cache `/etc/ld.so.cache'\n"
        "\tlibssl.so.3 (libc6,x86-64) => /lib/x86_64-linux-gnu/libssl.so.3\n"
        "\tlibssl.so.3 (libc6) => /lib/i386-linux-gnu/libssl.so.3\n"
        "\tlibssl.so.1.1 (libc6,AArch64) => /opt/my libs/libssl.so.1.1\n"
        "\tlibssl.so (libc6,x86-64, OS ABI: Linux 3.2.0) => /lib/libssl.so\n"
        "\tlibssl3.so (libc6,x86-64) => /lib/libssl3.so\n"
    )
    assert ldcache.parse(listing, ["libssl.so"]) == [
        "/lib/x86_64-linux-gnu/libssl.so.3",
        "/opt/my libs/libssl.so.1.1",
        "/lib/libssl.so",
    ]


def test_asks_ldconfig() -> None:
    found = ldcache.known_libraries(["libc.so.6"])
    assert "libc.so.6" in {Path(path).name for path in found}


def test_a_plugins_failure_is_in_the_report(mine: Path) -> None:
    from tests.unit.discovery.test_analysis import LOCATED

    with scanner(library(probes=LOCATED), locator=located(ValueError("no"))) as scan_:
        (image,) = scan_.scan_files([str(mine)])
        assert image.report.problems == ("mine: my_secret: the locator failed: ValueError: no",)


def test_a_fifo_that_is_mapped_by_name_does_not_block(mine: Path, tmp_path: Path) -> None:
    """The library's companion is a FIFO that nobody writes to."""
    os.mkfifo(tmp_path / "libother.so.2")
    done = threading.Event()

    def run() -> None:
        from tlstap.discovery import processes

        with pytest.raises(OSError, match="not a regular file"):
            processes.open_beside(os.getpid(), str(mine), "libother.so.2")
        done.set()

    threading.Thread(target=run, daemon=True).start()
    assert done.wait(10)
