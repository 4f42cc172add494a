"""Addresses that the user gives: how they are written, whose they are, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.unit.discovery.conftest import Compile

from tlstap.discovery.analysis import analyse
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.given import GivenAddress, GivenAddresses
from tlstap.discovery.report import ImageReport
from tlstap.errors import UsageError
from tlstap.library import DataProbe, Library, Recognise

SOURCE = """
    const char mark[] = "a mark of mine";
    static __attribute__((noinline)) int hidden_read(int x) { return x * 3 + mark[x]; }
    static __attribute__((noinline)) int hidden_write(int x) { return x * 5 + mark[x]; }
    int outer(int x) { return hidden_read(x) + hidden_write(x + 1); }
"""
READ, WRITE = (
    DataProbe(function="my_read", direction="read"),
    DataProbe(function="my_write", direction="write"),
)
MINE = Library(
    name="mine", title="Mine", recognise=Recognise(strings=("a mark of mine",)), probes=(READ, WRITE)
)
OTHER = MINE.model_copy(update={"name": "other", "recognise": Recognise(strings=("another mark",))})


@pytest.fixture
def library(compile_c: Compile) -> tuple[Path, dict[str, int]]:
    """A stripped library, and where its functions are."""
    path = compile_c(SOURCE)
    symbols = {
        name: int(address, 16)
        for address, _, name in (
            line.split() for line in subprocess.check_output(["nm", path], text=True).splitlines()
        )
        if name.startswith(("hidden", "outer"))
    }
    subprocess.run(["strip", "-s", path], check=True)
    return path, symbols


def report(path: Path, given: GivenAddresses, *libraries: Library) -> ImageReport:
    def nobody(image: ElfImage, library: Library, function: str) -> None:
        return None

    def beside(name: str) -> int:
        raise FileNotFoundError(name)

    with ElfImage.open(str(path)) as image:
        return analyse(image, libraries or (MINE,), nobody, beside, given)


def both(path: Path, symbols: dict[str, int]) -> list[GivenAddress]:
    return [
        GivenAddress(str(path), "my_read", symbols["hidden_read"]),
        GivenAddress(str(path), "my_write", symbols["hidden_write"]),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("./server:SSL_read=0x4a10", GivenAddress("./server", "SSL_read", 0x4A10)),
        ("/a:b=c/lib.so.1:f_2=0X1f", GivenAddress("/a:b=c/lib.so.1", "f_2", 0x1F)),
        ("x:f=4096", GivenAddress("x", "f", 4096)),
    ],
)
def test_how_they_are_written(text: str, expected: GivenAddress) -> None:
    assert GivenAddress.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "x:f", "x:f=", "f=1", ":f=1", "x:1f=2", "x:f=0xg", "x:f=-1", "x:f=1 "]
)
def test_what_is_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not of the form FILE:FUNCTION=ADDRESS, as in"):
        GivenAddress.parse(text)


def test_they_are_taken_and_put_on_trial(library: tuple[Path, dict[str, int]]) -> None:
    path, symbols = library
    (found,) = report(path, GivenAddresses(both(path, symbols))).libraries
    assert {one.name: (one.address, one.means, one.on_trial) for one in found.functions} == {
        "my_read": (symbols["hidden_read"], "user", True),
        "my_write": (symbols["hidden_write"], "user", True),
    }


def test_a_link_to_the_file_means_the_file(library: tuple[Path, dict[str, int]], tmp_path: Path) -> None:
    path, symbols = library
    (tmp_path / "link").symlink_to(path)
    (found,) = report(path, GivenAddresses(both(tmp_path / "link", symbols))).libraries
    assert found.function("my_read") is not None


def test_other_files_are_left_alone(library: tuple[Path, dict[str, int]], compile_c: Compile) -> None:
    path, symbols = library
    other = compile_c(SOURCE.replace("3", "7"))
    (found,) = report(other, GivenAddresses(both(path, symbols))).libraries
    assert found.functions == ()


def test_where_no_library_was_recognised_the_only_one_with_these_functions_is_meant(
    library: tuple[Path, dict[str, int]],
) -> None:
    path, symbols = library
    (found,) = report(path, GivenAddresses(both(path, symbols)), OTHER).libraries
    assert found.name == "other"


def test_which_is_meant_must_be_said(library: tuple[Path, dict[str, int]]) -> None:
    path, symbols = library
    third = OTHER.model_copy(update={"name": "third"})
    with pytest.raises(UsageError, match=r"choose with --lib \(other, third\)"):
        report(path, GivenAddresses(both(path, symbols)), OTHER, third)
    (found,) = report(path, GivenAddresses(both(path, symbols), ["third"]), OTHER, third).libraries
    assert found.name == "third"


def test_a_function_that_nothing_probes(library: tuple[Path, dict[str, int]]) -> None:
    path, symbols = library
    given = [*both(path, symbols), GivenAddress(str(path), "my_raed", symbols["outer"])]
    with pytest.raises(UsageError, match=r"no probe is declared for my_raed; known are my_read, my_write"):
        report(path, GivenAddresses(given))


def test_an_address_inside_a_function_would_corrupt_the_program(library: tuple[Path, dict[str, int]]) -> None:
    path, symbols = library
    start = symbols["hidden_read"]
    given = [GivenAddress(str(path), "my_read", start + 2)]
    with pytest.raises(UsageError, match=rf"is inside a function, which begins at {start:#x}"):
        report(path, GivenAddresses(given))


@pytest.mark.parametrize("address", [0, 1, 0x7FFFFFFF, 1 << 70])
def test_an_address_that_is_no_code(library: tuple[Path, dict[str, int]], address: int) -> None:
    path, _ = library
    with pytest.raises(UsageError, match="is not in an executable segment"):
        report(path, GivenAddresses([GivenAddress(str(path), "my_read", address)]))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"/no/such/file: No such file or directory; an address was given"):
        GivenAddresses([GivenAddress("/no/such/file", "my_read", 1)])


def test_two_addresses_for_one_function(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    Path(path).touch()
    GivenAddresses([GivenAddress(path, "f", 1), GivenAddress(path, "f", 1)])
    with pytest.raises(UsageError, match="two addresses are given for f"):
        GivenAddresses([GivenAddress(path, "f", 1), GivenAddress(path, "f", 2)])
