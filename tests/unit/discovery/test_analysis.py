from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.discovery.elves import BASE, elf_bytes, elf_image

from tlstap.discovery.analysis import Locator, analyse
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.recognise import find_version, recognise
from tlstap.discovery.report import ImageReport
from tlstap.errors import PluginError
from tlstap.library import DataProbe, FreeProbe, Library, Recognise, VersionString
from tlstap.location import Located

FUNCTIONS = [("my_read", 0, 16), ("my_write", 16, 16), ("my_free", 32, 16)]
CODE = (b"\xf3\x0f\x1e\xfa\x53".ljust(16, b"\xc3")) * 3


def library(name: str = "mine", **changes: Any) -> Library:
    fields: dict[str, Any] = {
        "title": "Mine",
        "recognise": Recognise(symbols=("my_read", "my_write")),
        "probes": (
            DataProbe(function="my_read", direction="read"),
            DataProbe(function="my_write", direction="write"),
        ),
    }
    return Library(name=name, **fields | changes)


def nobody(image: ElfImage, library: Library, function: str) -> int | None:
    raise AssertionError(f"the locator was asked for {function}")


def alone(name: str) -> int:
    raise FileNotFoundError(name)


def report_on(
    *libraries: Library, locator: Locator = nobody, data: bytes = b"", code: bytes = CODE
) -> ImageReport:
    with elf_image(code, functions=FUNCTIONS, data=data) as image:
        return analyse(image, libraries, locator, alone)


def located(answer: object) -> Locator:
    def locator(image: ElfImage, library: Library, function: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return locator


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({"symbols": ("my_read",)}, True),
        ({"symbols": ("my_read", "absent")}, False),
        ({"symbols": ("my_read",), "not_symbols": ("my_free",)}, False),
        ({"symbols": ("my_read",), "not_symbols": ("absent",)}, True),
        ({"strings": ("absent", "Mine 1.0\0")}, True),
        ({"strings": ("Mine 1.0.",)}, False),
        ({"symbols": ("my_read",), "not_strings": ("Mine 1.0",)}, False),
        ({"symbols": ("my_read",), "not_strings": ("Yours",)}, True),
    ],
)
def test_recognise(conditions: dict[str, Any], fits: bool) -> None:
    declared = library(recognise=Recognise(**conditions))
    with elf_image(CODE, functions=FUNCTIONS, data=b"Mine 1.0\0") as image:
        assert recognise(image, [declared])[0] == ([declared] if fits else [])


@pytest.mark.parametrize(
    ("function", "data", "names"),
    [
        ("wolfSSL_read", b"", ("wolfssl",)),
        ("other", b"src/ssl/ssl_lib.cc\0", ("boringssl",)),
        ("other", b"src/ssl/ssl_lib.cc\0 AWS-LC", ("aws-lc",)),
        ("other", b"BoringSSL", ()),
        ("other", b"crypto/tls.(*Conn).Read", ("go",)),
    ],
)
def test_names_tls_code_that_no_plugin_supports(function: str, data: bytes, names: tuple[str, ...]) -> None:
    with elf_image(CODE, functions=[(function, 0, 16)], data=data) as image:
        assert recognise(image, [library()]) == ([], names)
        # What a plugin stands for is left to it.
        assert recognise(image, [library(name) for name in names]) == ([], ())


def test_version_in_the_image() -> None:
    declared = library(version=VersionString(pattern=r"Mine (\d+\.\d+)", companion="libother"))
    with elf_image(CODE, functions=FUNCTIONS, data=b"Mine 3.25 and Mine 4.0") as image:
        assert find_version(image, declared, alone) == "3.25"
        assert find_version(image, library(), alone) is None


def test_version_in_a_companion_that_the_image_needs(compile_c: Callable[..., Path]) -> None:
    companion = compile_c(
        'const char text[] = "Mine 7.1";', "-Wl,-soname,libother.so.2", name="libother.so.2"
    )
    main = compile_c("int my_read(void) { return 1; }", "-Wl,--no-as-needed", str(companion))
    declared = library(version=VersionString(pattern=r"Mine (\d+\.\d+)", companion="libother.so"))
    asked = []

    def beside(name: str) -> int:
        asked.append(name)
        return os.open(companion, os.O_RDONLY)

    with ElfImage.open(str(main)) as image:
        assert find_version(image, declared, beside) == "7.1"
        assert asked == ["libother.so.2"]
        assert find_version(image, declared, alone) is None


def test_a_version_is_short_and_printable() -> None:
    declared = library(version=VersionString(pattern=r"Mine (.{1,100})"))
    with elf_image(CODE, functions=FUNCTIONS, data=b"Mine \x1b[31m" + b"9" * 200) as image:
        assert find_version(image, declared, alone) == "?[31m" + "9" * 59


def test_report() -> None:
    declared = library(
        probes=(
            DataProbe(function="my_read", direction="read"),
            DataProbe(function="my_write2", fallbacks=("my_write",), direction="write"),
            FreeProbe(function="my_free", unless=("my_release",)),
        )
    )
    report = report_on(declared)
    (found,) = report.libraries
    assert (report.machine, found.name, report.problems) == ("x86_64", "mine", ())
    assert [(f.name, f.address, f.probe_address, f.means, f.first_instruction) for f in found.functions] == [
        ("my_read", BASE, BASE + 4, "dynsym", "push rbx"),
        ("my_write", BASE + 16, BASE + 20, "dynsym", "push rbx"),
        ("my_free", BASE + 32, BASE + 36, "dynsym", "push rbx"),
    ]
    assert all(function.emulated for function in found.functions)
    assert [(m.name, m.reason) for m in found.missing] == [
        ("my_write2", "no symbol"),
        ("my_release", "no symbol"),
    ]
    assert ImageReport.model_validate_json(report.model_dump_json()) == report


LOCATED = (
    DataProbe(function="my_secret", locate=True, direction="read"),
    DataProbe(function="my_write", direction="write"),
)


def test_a_locator_finds_what_has_no_symbol() -> None:
    (found,) = report_on(library(probes=LOCATED), locator=located(BASE + 32)).libraries
    function = found.function("my_secret")
    assert function is not None
    assert (function.address, function.means) == (BASE + 32, "locator")


def test_a_locator_decides_about_a_symbol_too() -> None:
    probes = (DataProbe(function="my_read", locate=True, direction="read"), LOCATED[1])
    (found,) = report_on(library(probes=probes), locator=located(BASE)).libraries
    assert found.function("my_read") is not None
    assert found.functions[0].means == "dynsym"
    (found,) = report_on(library(probes=probes), locator=located(None)).libraries
    assert found.function("my_read") is None
    assert found.missing[0].reason == "mine's locator does not vouch for the symbol at 0x10000"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (RuntimeError("broken\nplugin"), "mine: my_secret: the locator failed: RuntimeError: broken plugin"),
        (PluginError("in whole words"), "in whole words"),
        (0, "tlstap_locate answered 0x0 for my_secret, which is not in an executable segment"),
        (-1, "tlstap_locate answered -0x1 for my_secret, which is not in an executable segment"),
        (1 << 70, "tlstap_locate answered 0x400000000000000000 for my_secret, which is not in an executable"),
        ("0x10000", "tlstap_locate answered '0x10000' for my_secret, which is no address"),
        (True, "tlstap_locate answered True for my_secret, which is no address"),
        (
            Located(BASE, return_addresses=cast("Any", 7)),
            "tlstap_locate answered 7 for my_secret, which is no t",
        ),
        (
            Located(BASE, return_addresses=(0,)),
            "tlstap_locate answered 0x0 for my_secret, which is not in an ex",
        ),
    ],
)
def test_a_wrong_locator_leaves_out_its_library_only(answer: object, problem: str) -> None:
    report = report_on(library(probes=LOCATED), library("other"), locator=located(answer))
    assert report.failed == ("mine",)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(problem)
    (found,) = report.libraries
    assert found.name == "other"
    assert [function.name for function in found.functions] == ["my_read", "my_write"]


def test_no_probe_where_there_is_no_instruction() -> None:
    report = report_on(library(), code=b"\x06" + CODE[1:])
    assert [function.name for function in report.libraries[0].functions] == ["my_write"]
    assert report.problems == ("mine: my_read: image: no valid instruction at 0x10000",)


def test_two_libraries_that_claim_the_same_functions_are_both_refused() -> None:
    own = library("own", recognise=Recognise(symbols=("my_free",)), probes=LOCATED)
    report = report_on(library("one"), library("other"), locator=located(BASE + 32))
    assert report.libraries == ()
    assert report.problems == (
        "one and other both claim my_read, my_write: neither is probed; "
        "leave out the plugin that is wrong with --no-plugin",
    )
    assert [found.name for found in report_on(own, locator=located(BASE + 32)).libraries] == ["own"]


def test_two_libraries_in_one_image(compile_c: Callable[..., Path]) -> None:
    names = ("my_read", "my_write", "your_read", "your_write")
    path = compile_c("\n".join(f"int {name}(int x) {{ return x + {len(name)}; }}" for name in names))
    yours = library(
        "yours",
        recognise=Recognise(symbols=names[2:]),
        probes=(
            DataProbe(function="your_read", direction="read"),
            DataProbe(function="your_write", direction="write"),
        ),
    )
    with ElfImage.open(str(path)) as image:
        report = analyse(image, [library(), yours], nobody, alone)
    assert [found.name for found in report.libraries] == ["mine", "yours"]
    assert report.problems == ()


def test_the_image_builder_builds_valid_files(tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    path = tmp_path / "image"
    path.write_bytes(elf_bytes(CODE, functions=FUNCTIONS, data=b"text"))
    with path.open("rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".dynsym").iter_symbols())
    assert [(symbol.name, symbol["st_value"]) for symbol in symbols[1:]] == [
        (name, BASE + offset) for name, offset, _ in FUNCTIONS
    ]
