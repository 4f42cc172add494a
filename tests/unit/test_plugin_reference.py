"""docs/plugin-reference.md: written from the docstrings, and nothing of the contract is without one."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest
from scripts import plugin_reference
from scripts.docstrings import Class, Signature, read_module, take_apart

import tlstap
from tlstap import hookspecs, library, records
from tlstap.library import Declaration

ROOT = Path(__file__).parents[2]
HOOKS = {
    name: function
    for name, function in read_module(plugin_reference.PACKAGE / "hookspecs.py").functions.items()
    if name.startswith("tlstap_")
}
MODELS = [
    model
    for _, model in inspect.getmembers(library, inspect.isclass)
    if issubclass(model, Declaration) and model is not Declaration
]


def described() -> Iterator[Class | Signature]:
    """Every class and function of the reference's sections."""
    for _, files, names in plugin_reference.SECTIONS:
        for module in plugin_reference.modules(files):
            for name in names:
                yield from (each for each in [module.classes.get(name)] if each)
                yield from (each for each in [module.functions.get(name)] if each)


CLASSES = [each for each in described() if isinstance(each, Class)]
FUNCTIONS = [each for each in described() if isinstance(each, Signature)]


def is_record(described: Class) -> bool:
    """Whether the introduction to the section of records describes fields of this one."""
    return getattr(tlstap, described.name, object).__module__ == records.__name__


def by_name(each: Class | Signature) -> str:
    return each.name


def test_the_file_is_what_the_docstrings_say() -> None:
    said = plugin_reference.OUTPUT.read_text().splitlines()
    assert said == plugin_reference.reference().splitlines(), "run: python -m scripts.plugin_reference"


def test_every_exported_name_is_in_it() -> None:
    headings = {line[4:] for line in plugin_reference.reference().splitlines() if line.startswith("### ")}
    assert set(tlstap.__all__) - headings == set()
    titles = set(plugin_reference.TITLES.values())
    assert headings - set(tlstap.__all__) - set(HOOKS) == titles


def test_every_exported_name_comes_from_where_the_reference_reads_it() -> None:
    for _, files, names in plugin_reference.SECTIONS:
        modules = {f"tlstap.{name.removesuffix('.py').replace('/', '.')}" for name in files.split()}
        for name in set(names) - set(plugin_reference.TITLES):
            assert any(
                getattr(importlib.import_module(module), name, None) is getattr(tlstap, name)
                for module in modules
            ), name


def test_the_hooks_are_those_of_the_specification() -> None:
    assert list(HOOKS) == [name for name in vars(hookspecs) if name.startswith("tlstap_")]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_and_each_of_its_parameters_is_described(hook: str) -> None:
    documentation = HOOKS[hook].documentation
    assert documentation.prose != []
    assert list(documentation.parameters) == HOOKS[hook].arguments
    assert all(documentation.parameters.values())
    assert dict(documentation.answers)["returns"] != ""


@pytest.mark.parametrize("function", FUNCTIONS, ids=by_name)
def test_every_function_is_described(function: Signature) -> None:
    assert function.documentation.prose != []


@pytest.mark.parametrize("described", CLASSES, ids=by_name)
def test_every_class_each_field_and_each_method_is_described(described: Class) -> None:
    assert described.documentation.prose != []
    if described.name != "ElfImage":
        common = {name for name in ("connection", "process", "time_ns") if is_record(described)}
        assert set(described.undocumented()) - common == set()
        return
    members = {method.name for method in described.methods} | {"path", "machine", "build_id"}
    assert set(plugin_reference.IMAGE_MEMBERS) - members == set()
    missing = set(described.undocumented()) & set(plugin_reference.IMAGE_MEMBERS)
    assert missing - {"path", "machine"} == set()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_of_a_model_is_described(model: type[pydantic.BaseModel]) -> None:
    missing = [
        name
        for name, field in model.model_fields.items()
        if not field.description and name not in ("kind", "source")
    ]
    assert missing == []


@pytest.mark.parametrize("name", ["library.py", "records.py"])
def test_every_type_is_described(name: str) -> None:
    module = read_module(plugin_reference.PACKAGE / name)
    types = plugin_reference.types(module)
    assert types != []
    assert [value.name for value in types if not value.text] == []


def implemented_in_tests() -> set[str]:
    """Names of functions that are defined in the tests' code, or in code that they write down as text."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {hook for hook in HOOKS if f"def {hook}(" in node.value}
    return found


def test_every_hook_has_a_test() -> None:
    assert set(HOOKS) - implemented_in_tests() == set()


def test_what_is_not_described_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        'class Some:\n    """Has `one`."""\n    one: int\n    two: int = 2\n    """Second."""\n'
        '    three: int\n    kind: Literal["x"] = "x"\n    def four(self) -> None:\n        pass\n'
    )
    assert read_module(tmp_path / "module.py").classes["Some"].undocumented() == ["three", "four"]


def test_docstrings_are_taken_apart() -> None:
    documentation = take_apart(
        "What.\n\n    More.\n\n    :param one: first,\n        and more.\n    :return: two.\n"
        "    :raises Error: no.\n"
    )
    assert documentation.prose == ["What.", "", "More."]
    assert documentation.parameters == {"one": "first, and more."}
    assert documentation.answers == [("returns", "two."), ("raises `Error`", "no.")]
