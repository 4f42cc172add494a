from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tlstap.discovery.command import executable, files_of_command

SHELL = "/bin/sh"


def script(path: Path, first_line: str) -> Path:
    path.write_text(f"#!{first_line}\nexit 1\n")
    path.chmod(0o755)
    return path


def needed_by(program: str) -> set[str]:
    with Path(program).resolve().open("rb") as file:
        dynamic = next(ELFFile(file).iter_segments("PT_DYNAMIC"))
        return {tag.needed for tag in dynamic.iter_tags("DT_NEEDED")}


def test_the_program_and_its_libraries() -> None:
    files = files_of_command([SHELL, "-c", "exit"], os.environ)
    assert files[0] == SHELL
    assert needed_by(SHELL) <= {Path(file).name for file in files[1:]}
    assert all(Path(file).is_file() for file in files)


def test_the_environment_counts(compile_c: Callable[..., Path], tmp_path: Path) -> None:
    library = compile_c("int nothing;")
    (tmp_path / "sh").symlink_to(SHELL)
    environment = {"PATH": str(tmp_path), "LD_PRELOAD": str(library)}
    files = files_of_command(["sh"], environment)
    assert files[0] == str(tmp_path / "sh")
    assert str(library) in files


def test_scripts_lead_to_their_interpreters(tmp_path: Path) -> None:
    inner = script(tmp_path / "inner", f" {SHELL} -e")
    outer = script(tmp_path / "outer", str(inner))
    assert files_of_command([str(outer)], os.environ)[0] == SHELL
    by_name = script(tmp_path / "by-name", "/usr/bin/env -S A=1 sh -e")
    environment = {"PATH": "/bin"}
    assert files_of_command([str(by_name)], environment)[0] == "/bin/sh"


def test_scripts_without_end(tmp_path: Path) -> None:
    path = tmp_path / "ouroboros"
    script(path, str(path))
    assert files_of_command([str(path)], os.environ) == []


@pytest.mark.parametrize("arguments", [[], ["no-such-program"], ["/no/such/program"], ["/etc/passwd"]])
def test_no_program(arguments: list[str]) -> None:
    assert files_of_command(arguments, os.environ) == []


def test_a_static_program_and_one_that_is_no_elf_file(compile_c: Callable[..., Path], tmp_path: Path) -> None:
    static = compile_c("int main(void) { return 0; }", "-static", shared=False, name="static")
    assert files_of_command([str(static)], os.environ) == [str(static)]
    text = tmp_path / "text"
    text.write_text("exit 0\n")
    text.chmod(0o755)
    assert files_of_command([str(text)], os.environ) == [str(text)]


def test_the_program_is_never_run(compile_c: Callable[..., Path], tmp_path: Path) -> None:
    """Not even when its dynamic loader is another program, which then fails or hangs."""
    trace = tmp_path / "was-here"
    source = f"""
        #include <fcntl.h>
        __attribute__((constructor)) static void begin(void) {{ open("{trace}", O_CREAT | O_WRONLY, 0600); }}
        int main(void) {{ return 0; }}
    """
    program = compile_c(source, shared=False, name="program")
    assert files_of_command([str(program)], os.environ)[0] == str(program)
    assert not trace.exists()


def test_a_loader_that_hangs_or_fails(
    compile_c: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlstap.discovery.command._TIMEOUT", 0.2)
    loader = tmp_path / "loader"
    program = compile_c(
        "int main(void) { return 0; }", f"-Wl,--dynamic-linker={loader}", shared=False, name="program"
    )
    for text in ("#!/bin/sh\nexec sleep 60\n", "#!/bin/sh\nexit 3\n", "nonsense"):
        loader.write_text(text)
        loader.chmod(0o755)
        assert files_of_command([str(program)], os.environ) == [str(program)]


def test_executable(tmp_path: Path) -> None:
    program = script(tmp_path / "program", SHELL)
    assert executable("program", {"PATH": str(tmp_path)}) == str(program)
    assert executable("program", {"PATH": "/bin"}) is None
    program.chmod(stat.S_IRUSR)
    assert executable(str(program), {}) is None
