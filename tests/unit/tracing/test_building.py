"""Which plugin is to blame when the program as a whole is of no use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from tests.support.site import Site, good

from tlstap.errors import CompileError, KernelError, PluginError, UsageError
from tlstap.registry import Registry
from tlstap.tracing import building
from tlstap.tracing.building import Built, build, chosen_libraries
from tlstap.tracing.engine import Engine
from tlstap.tracing.plan import ProbeTable


class FakeEngine:
    """Snippets are lists of words: BAD does not compile, and no two may have the same other one."""

    living = 0

    def __init__(self, snippets: Mapping[str, str]) -> None:
        self.snippets = dict(snippets)
        seen: set[str] = set()
        for file, text in snippets.items():
            words = set(text.split()) if "part/" in file else set()
            if "BAD" in words or seen & words:
                raise CompileError("no", f"{file}:1:1: error: of no use\n")
            seen |= words
        FakeEngine.living += 1

    def close(self) -> None:
        FakeEngine.living -= 1


class Bench:
    """Plugins with C, built with fakes."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self._plugins: list[str] = []
        self.made = 0

    def install(self, plugin: str, words: str | None) -> None:
        self._plugins.append(plugin)
        self._site.install(plugin, good(plugin, f'snippet="part/{plugin}.h",'), package=True)
        if words is not None:
            part = self._folder / self._site.modules[-1] / "part"
            part.mkdir()
            (part / f"{plugin}.h").write_text(words)

    def make(self, table: ProbeTable, snippets: Mapping[str, str], careful: bool) -> Engine:
        self.made += 1
        assert careful == any("part/" in file for file in snippets)
        return cast("Engine", FakeEngine(snippets))

    def build(self, *names: str) -> Built:
        registry = Registry.load(third_party=self._site.points(*self._plugins))
        assert registry.failures == []
        built = build(registry, chosen_libraries(registry, names), self.make)
        assert FakeEngine.living == 1, "engines of attempts are closed"
        built.engine.close()
        assert {probe for library in built.libraries for probe in library.probes} == set(built.table.probes)
        return built


@pytest.fixture
def bench(site: Site, tmp_path: Path) -> Bench:
    FakeEngine.living = 0
    return Bench(site, tmp_path / "site")


def third_parties(built: Built) -> list[str]:
    names = [library.name for library in built.libraries]
    assert {"openssl", "nss"} <= set(names)
    return [name for name in names if name in ("one", "two", "three", "four")]


def test_all_is_well(bench: Bench) -> None:
    bench.install("one", "a")
    bench.install("two", "b")
    built = bench.build()
    assert (third_parties(built), built.problems, bench.made) == (["one", "two"], [], 1)


def test_the_bad_ones_are_left_out_and_the_others_stay(bench: Bench) -> None:
    for plugin, words in (("one", "a"), ("two", "BAD"), ("three", "c"), ("four", "BAD")):
        bench.install(plugin, words)
    built = bench.build()
    assert third_parties(built) == ["one", "three"]
    assert built.problems == [
        f"plugin {name} of dist-{name}: {name} is not traced: its C does not compile: "
        f"{name}/part/{name}.h:1: of no use"
        for name in ("two", "four")
    ]
    files = cast("FakeEngine", built.engine).snippets
    assert [name for name in files if "part/" in name] == ["one/part/one.h", "three/part/three.h"]
    assert "openssl/openssl.h" in files


def test_two_that_can_not_be_together(bench: Bench) -> None:
    for plugin, words in (("one", "a"), ("two", "b"), ("three", "a b")):
        bench.install(plugin, words)
    built = bench.build()
    assert third_parties(built) == ["one", "two"]
    assert built.problems == [
        "plugin three of dist-three: three is not traced: beside that of plugin one of dist-one, "
        "two of dist-two, its C does not compile: three/part/three.h:1: of no use"
    ]


def test_one_whose_c_can_not_be_read(bench: Bench) -> None:
    bench.install("one", None)
    bench.install("two", "b")
    built = bench.build()
    assert third_parties(built) == ["two"]
    (problem,) = built.problems
    assert problem.startswith("plugin one of dist-one: snippet 'part/one.h' of library one can't be read: ")
    assert problem.endswith("; what it declares is not traced")


def test_it_alone_was_asked_for(bench: Bench) -> None:
    bench.install("one", "BAD")
    with pytest.raises(PluginError, match=r"^plugin one of dist-one: one is not traced: its C does not"):
        bench.build("one")
    assert FakeEngine.living == 0


def test_it_alone_was_asked_for_and_can_not_be_read(bench: Bench) -> None:
    bench.install("one", None)
    with pytest.raises(PluginError, match=r"^plugin one of dist-one: snippet .* can't be read"):
        bench.build("one")


def test_one_that_was_not_asked_for_does_not_matter(bench: Bench) -> None:
    bench.install("one", "BAD")
    bench.install("two", "b")
    built = bench.build("two")
    assert ([library.name for library in built.libraries], built.problems) == (["two"], [])


def test_no_more_than_so_many_are_tried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MAX_SUSPECTS", 2)
    for plugin, words in (("one", "BAD"), ("two", "b"), ("three", "c")):
        bench.install(plugin, words)
    built = bench.build()
    assert third_parties(built) == ["two"]
    assert built.problems[1] == (
        "plugin three of dist-three: three is not traced: "
        "its C was not tried, as that of too many plugins was"
    )
    assert bench.made == 4


def test_what_is_wrong_without_plugins_is_blamed_on_none(bench: Bench) -> None:
    bench.install("one", "a")
    registry = Registry.load()

    def make(table: ProbeTable, snippets: Mapping[str, str], careful: bool) -> Engine:
        raise CompileError("the core is wrong", "bpf/probe.h:1:1: error: x\n")

    with pytest.raises(CompileError, match="the core is wrong"):
        build(registry, list(registry.libraries.values()), make)
    with pytest.raises(CompileError, match="the core is wrong"):
        build(Registry.load(third_party=()), [], make)


def test_an_engine_that_was_made_is_closed_when_the_kernel_then_refuses(bench: Bench) -> None:
    bench.install("one", "BAD")
    bench.install("two", "b")
    registry = Registry.load()

    def make(table: ProbeTable, snippets: Mapping[str, str], careful: bool) -> Engine:
        if bench.made == 3:
            raise KernelError("no memory")
        return bench.make(table, snippets, careful)

    with pytest.raises(KernelError):
        build(registry, list(registry.libraries.values()), make)
    assert (bench.made, FakeEngine.living) == (3, 0)


def test_a_library_that_nobody_knows() -> None:
    with pytest.raises(UsageError):
        chosen_libraries(Registry.load(third_party=()), ["nonsense"])
